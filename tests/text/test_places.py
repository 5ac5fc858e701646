"""Spoken words and the text that is shown: every word has its place, inside the text, in order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatter_nb.text.chunking import Chunk
from chatter_nb.text.places import place_words, words_of


def written(spoken, text):
    """What is written in the text for each spoken word."""
    return [text[start:end] for start, end in place_words(spoken.split(), text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("“Well-known” words, it's true.", "Well-known|words|it's|true"),
        ("One—two -- three … four...five", "One|two|three|four|five"),
        ("From 1914–1918, London–Paris (5%).", "From|1914–1918|London|Paris|5%"),
        ("R&D * * * cost $5; C# — @home", "R&D|cost|$5|C#|@home"),
        ("  ", ""),
    ],
)
def test_words_are_parted_by_spaces_and_dashes(text, words):
    assert "|".join(text[start:end] for start, end in words_of(text)) == words


@pytest.mark.parametrize(
    ("spoken", "text", "words"),
    [
        ("See figure 3 compare Smith", "See Fig. 3, cf. Smith.", "See|Fig|3|cf|Smith"),
        ("at three thirty P.M. today", "At 3:30 pm, today", "At|3:30|3:30|pm|today"),
        ("nineteen eighty four it was", "1984 — it was", "1984|1984|1984|it|was"),
        ("by the twelfth of January", "By 12 Jan.", "By|12|12|12|Jan"),
        ("the Donau dampf schiff", "The Donaudampfschiff", "The" + "|Donaudampfschiff" * 3),
        ("5 million dollars and plus 7", "$5 million and +7", "$5|million|million|and|+7|+7"),
        ("Henry the eighth", "Henry VIII", "Henry|VIII|VIII"),
        ("R and D", "“R & D”", "R|&|D"),
        ("page 5", "p. 5", "p|5"),
        ("It's Cafe", "IT’S\u00a0CAFE!", "IT’S|CAFE"),
        ("so said Tom", "So — Tom", "So|So|Tom"),
        ("one two", "", "|"),
    ],
)
def test_a_word_has_the_place_of_what_is_written_for_it(spoken, text, words):
    assert "|".join(written(spoken, text)) == words


def test_words_of_a_text_have_their_own_places():
    text = "The cat, the cat and the “cat” sat; the cat's mat: the, the — the!"
    places = words_of(text)
    assert place_words([text[start:end] for start, end in places], text) == places


def test_a_chunks_spoken_text_is_found_in_its_shown_text():
    """Soft hyphens, abbreviations in full, a long word in parts."""
    shown = "See Fig. 3 of Do\u00adnau, " + "-".join(["part"] * 40) + "; Sept. 11, et al. (1999). "
    spoken = Chunk(0, shown, 0, "en").spoken
    words = [spoken[start:end] for start, end in words_of(spoken)]
    places = dict(zip(words, place_words(words, shown), strict=True))
    assert shown[slice(*places["Figure"])] == "Fig"
    assert shown[slice(*places["September"])] == "Sept"
    assert shown[slice(*places["Donau"])] == "Do\u00adnau"
    assert {shown[slice(*place)] for word, place in places.items() if "part" in word} == {
        "-".join(["part"] * 40)
    }


TEXTS = st.text(st.sampled_from("ab1. ,-—’'$%&Fig\u00ad éß中"), max_size=60)


@settings(max_examples=300)
@given(spoken=TEXTS, text=TEXTS)
def test_places_lie_inside_the_text_in_order(spoken, text):
    places = place_words(spoken.split(), text)
    assert len(places) == len(spoken.split())
    assert all(0 <= place.start <= place.end <= len(text) for place in places)
    assert places == sorted(places)
    assert [place.end for place in places] == sorted(place.end for place in places)


def test_a_long_text_that_differs_everywhere_takes_no_time():
    """2,000 characters, the longest chunk: the same word again and again, one missing."""
    place_words(["a", "b"] * 500, "a " * 500 + "b " * 499)
