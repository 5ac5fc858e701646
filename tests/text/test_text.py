"""Text: nothing lost, nothing mangled. Each case of the predecessors' defects is here."""

import re
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chatter_nb import SpeakParams
from chatter_nb.base.errors import InputError
from chatter_nb.engines.registry import entry
from chatter_nb.runs.saying import sayings_of
from chatter_nb.text.chunking import Chunk, clean, split_chunks
from chatter_nb.text.markup import PAUSE_MARK

# Words, marks and whitespace of many kinds, mixed with any characters at all.
PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            "Hello.",
            "Then we left!",
            "a",
            "word,",
            "—",
            "…",
            "“Quoted?”",
            "J. R. R.",
            "$3.50",
            "5 p.m.",
        ]
    ),
    st.sampled_from([" ", "\n", "\n\n", "\r\n\r\n", "\t", "\f", "\u2028", "\u2029", "\u00a0", ""]),
    st.sampled_from(["[pause 1s]", "[PAUSE 250ms]", "[pause 0.5 s]", "[12]", "[", "]"]),
    st.sampled_from(
        ["e\u0301", "🧑\u200d🚀", "漢字。", "مرحبا", "x" * 60, "\x85", "\x1c", "\ufeff"]
    ),
)
TEXTS = st.lists(PIECES, max_size=30).map("".join)


def source_of(text: str) -> str:
    """What must come out: NFC, marks out, whitespace collapsed. Written apart from the code."""
    text = unicodedata.normalize("NFC", text.removeprefix("\ufeff"))
    text = re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)", "", text)
    text = re.sub(r"\[pause\s+\d+(\.\d+)?\s*(ms|s)\]", "", text, flags=re.IGNORECASE)
    return re.sub(r"\s+", " ", text).strip()


@settings(max_examples=1500)
@given(text=TEXTS, chunk_chars=st.integers(20, 300))
@example(text="x" * 45 + " " + "y" * 20 + " z", chunk_chars=20)
def test_chunks_concatenate_to_the_source(text, chunk_chars):
    """With the removing options off, the chunks' texts are the NFC source, nothing lost."""
    try:
        chunks = split_chunks(clean(text), chunk_chars=chunk_chars)
    except InputError:  # only a malformed or endless pause mark is refused
        assert re.search(r"\[\s*pause", text, re.IGNORECASE)
        return
    assert "".join(chunk.text for chunk in chunks) == source_of(text)
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))


@settings(max_examples=1500)
@given(text=TEXTS, chunk_chars=st.integers(20, 300))
def test_no_chunk_exceeds_the_limit(text, chunk_chars):
    """A chunk's text, without the space that joins it to the next, has at most `chunk_chars`."""
    try:
        chunks = split_chunks(clean(text), chunk_chars=chunk_chars)
    except InputError:
        return
    assert all(len(chunk.text.strip()) <= chunk_chars for chunk in chunks)


@settings(max_examples=800)
@given(
    words=st.lists(st.from_regex(r"[A-Za-z]{1,30}[.,;!?]?", fullmatch=True), max_size=80),
    chunk_chars=st.integers(31, 120),
)
def test_no_word_is_cut_that_fits(words, chunk_chars):
    """Chunks end at spaces as long as every word is shorter than the limit."""
    chunks = split_chunks(" ".join(words), chunk_chars=chunk_chars)
    assert all(chunk.text.endswith(" ") for chunk in chunks[:-1])


def test_invisible_characters_are_kept_but_not_spoken():
    """A soft hyphen would be read as "so F T"."""
    (chunk,) = split_chunks("so\u00adft can\u200bnot \ufeffM\u034fr")
    assert chunk.text == "so\u00adft can\u200bnot \ufeffM\u034fr"
    assert chunk.spoken == "soft cannot Mr"


@pytest.mark.parametrize(
    "text",
    [
        "Version 2.5 is out.",
        "It costs $3.50 today.",
        "About 9,000 people came (1984).",
        "They don't. We won't.",
        "Take vitamin C. Then sleep.",
        "We met at 5 p.m. Then we left.",
        "J. R. R. Tolkien wrote it.",
        "An album of drums, um, and more.",
    ],
)
def test_figures_abbreviations_and_short_words_survive(text):
    """The predecessors lost decimals, years, stops and letters in these."""
    assert "".join(chunk.text for chunk in split_chunks(clean(text))) == text


def test_sentence_boundaries_at_abbreviations():
    """ "5 p.m. Then" is a boundary, "J. R. R. Tolkien" and "$3.50" are none."""
    text = "It was 5 p.m. Then J. R. R. Tolkien paid $3.50 for it."
    assert [c.spoken for c in split_chunks(text, chunk_chars=45)] == [
        "It was 5 p.m.",
        "Then J. R. R. Tolkien paid $3.50 for it.",
    ]


def test_nothing_is_dropped_around_an_over_long_sentence():
    """The predecessors lost the sentences before one that was too long, and short ones."""
    text = "Stop it! Go. And then, " + "and then, " * 80 + "the end. Ok."
    chunks = split_chunks(text, chunk_chars=280)
    assert "".join(c.text for c in chunks) == text
    assert chunks[0].spoken == "Stop it! Go."
    assert chunks[-1].spoken.endswith("Ok.")


def test_a_sentence_of_just_the_limit_stays_whole():
    """The limit counts what is spoken, not the space that joins it to the next chunk."""
    sentence = "a" * 9 + " " + "b" * 9 + "."
    assert [c.spoken for c in split_chunks(f"{sentence} {sentence}", chunk_chars=20)] == [
        sentence,
        sentence,
    ]


def test_long_sentences_are_cut_at_clause_marks_then_spaces():
    """A clause mark is preferred to a space, a space to nothing; cut parts have no pause."""
    clauses = "The first part is here; the second part follows without a mark to the very end"
    chunks = split_chunks(clauses, chunk_chars=60)
    assert chunks[0] == Chunk(0, "The first part is here; ", 0, "en")
    spaces = split_chunks("word " * 30, chunk_chars=50)
    assert all(c.spoken.replace("word", "").strip() == "" and c.pause_ms == 0 for c in spaces)


def test_a_word_longer_than_the_limit_is_cut_between_characters():
    """An accent stays with its letter, an emoji made of several stays whole."""
    word = "a" * 19 + "q\u0301" * 10
    chunks = split_chunks(word, chunk_chars=20)
    assert "".join(c.text for c in chunks) == word
    assert not any(unicodedata.combining(c.text[0]) for c in chunks)


def test_packing_starts_anew_at_each_paragraph():
    """An edit in one paragraph leaves the other paragraphs' chunks as they were."""
    paragraphs = [f"Sentence one of {i}. Sentence two of {i}. And three." for i in range(10)]
    before = [c.text for c in split_chunks("\n\n".join(paragraphs), chunk_chars=40)]
    edited = ["A new beginning. " + paragraphs[0], *paragraphs[1:]]
    after = [c.text for c in split_chunks("\n\n".join(edited), chunk_chars=40)]
    assert len(before) == 20
    assert before[2:] == after[-18:]
    assert "A new beginning. " in after[0]


def pauses(text: str, **kwargs) -> list[tuple[str, int]]:
    chunks = split_chunks(clean(text), chunk_chars=20, **kwargs)
    return [(chunk.spoken, chunk.pause_ms) for chunk in chunks]


def test_pauses_by_sentence_paragraph_and_chapter():
    """Each kind of break has its own silence; the end of the text has none."""
    text = "One sentence here. And another one.\n\nA paragraph.\n\nChapter Two\n\nThe end."
    assert pauses(text, sentence_pause_ms=1, paragraph_pause_ms=2, chapter_pause_ms=3) == [
        ("One sentence here.", 1),
        ("And another one.", 2),
        ("A paragraph.", 3),
        ("Chapter Two", 2),
        ("The end.", 0),
    ]


def test_a_pause_mark_sets_the_silence_at_its_place():
    """Marks are exact, add up, win over a paragraph's pause, and work at both ends."""
    text = "[pause 1s]Hello [pause 300ms] there.\n\n[pause 2s] [pause 0.5 s]\n\nBye.[pause 40ms]"
    assert pauses(text) == [("", 1000), ("Hello", 300), ("there.", 2500), ("Bye.", 40)]


@pytest.mark.parametrize(
    "mark",
    [
        "[pause 800]",
        "[pause 2 sec]",
        "[pause: 1s]",
        "[pause -1s]",
        "[pause]",
        "[pause five seconds]",
        "[ pause 2s]",
        f"[pause {'0' * 40}800]",
        f"[pause 1s{' and more' * 10}]",
    ],
)
def test_a_malformed_pause_mark_is_refused(mark):
    """It would be read out otherwise; the message shows the right form."""
    with pytest.raises(InputError, match=r"\[pause 800ms\]"):
        split_chunks(f"Hello {mark} there.")


@pytest.mark.parametrize(
    "mark",
    [
        "[pause 9999s]",
        f"[pause {'0' * 40}601s]",
        f"[pause 1{'0' * 35}s]",
        f"[pause {'9' * 400}s]",
        f"[pause {'9' * 6000}ms]",
        "[pause\n700s]",
        "[pause 400s] [pause 201s]",
        "[pause 1s]" * 601,
    ],
)
def test_an_endless_pause_is_refused(mark):
    """However it is written; marks that stand together add up."""
    with pytest.raises(InputError, match="at most 600 s at one place") as refusal:
        split_chunks(f"Hello {mark} there.")
    assert len(str(refusal.value)) < 200


def test_a_long_pause_mark_is_read_as_it_is_checked():
    assert pauses(f"One.[pause {'0' * 40}800ms] Two.[pause 600s]") == [
        ("One.", 800),
        ("Two.", 600_000),
    ]


def test_brackets_that_are_no_mark_stay():
    assert split_chunks("He [paused] said [sic].")[0].text == "He [paused] said [sic]."


PAGES = """The road was long
\fand winding, and it met Dr.
\fSmith there, as he told\f \f\x20
us. It ended.

\fChapter Two
It was light. \fBut cold."""


def test_a_page_ends_in_mid_sentence():
    """A form feed is white space; a paragraph's end only where a sentence ends before it."""
    assert [(c.spoken, c.pause_ms) for c in split_chunks(clean(PAGES))] == [
        (
            "The road was long and winding, and it met Dr. Smith there, as he told us. It ended.",
            1500,
        ),
        ("Chapter Two", 600),
        ("It was light.", 600),
        ("But cold.", 0),
    ]


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("The shelf\u200cful of off\u200c\u200dice goods\u200c.", "The shelfful of office goods."),
        ("\u200eHe\u200fllo \u2068Anna\u2069\u202c", "Hello Anna"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", None),  # Persian
        ("\u0915\u094d\u200d\u0937 PDF\u200c\u0647\u0627", None),  # Hindi; Latin before Persian
        ("\U0001f9d1\u200d\U0001f680 \u2764\ufe0f\u200d\U0001f525", None),
    ],
)
def test_joiners_are_spoken_only_where_they_shape_letters(text, spoken):
    """hibari reads "off‌ice" as two words; Persian and emoji need theirs."""
    (chunk,) = split_chunks(clean(text))
    assert (chunk.text, chunk.spoken) == (text, spoken or text)


def test_a_link_in_plain_text_loses_no_word():
    """hibari would read "[a](b)" as a link, and pass over its "b"."""
    (chunk,) = split_chunks("He said [sic](so), see [it](http://a.b/c).")
    assert chunk.spoken == "He said [sic (so), see [it (http://a.b/c)."


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\x1b[31mred\x1b[0m and \x1b[1;38;5;12mblue\x1b[K", "red and blue"),
        ("See \x1b]8;;http://a.b\x1b\\it\x1b]8;;\x1b\\.\x1b]0;title\x07", "See it."),
        ("No code: [31m, \x1b]8;;never closed", None),
    ],
)
def test_a_terminals_codes_are_taken_out(text, cleaned):
    assert clean(text) == (cleaned or text)


@pytest.mark.parametrize(
    "tag",
    [
        '<break time="500ms"/>',
        "<BREAK/>",
        "<speak>",
        '<prosody rate="slow">',
        "<emphasis level='strong'>",
        '<say-as interpret-as="date">',
        "</amazon:effect>",
        '<mstts:express-as style="sad">',
    ],
)
def test_ssml_is_refused_with_the_cure(tag):
    """It would be read aloud; a replacement takes it out, as the message says."""
    with pytest.raises(InputError, match=rf"{re.escape(tag)} is SSML.*\[pause 500ms\]"):
        split_chunks(clean(f"Hello {tag} world."))
    cure = {"<[^<>]*>": ""}
    assert split_chunks(clean(f"Hello {tag} world.", regex_replacements=cure))


@pytest.mark.parametrize("text", ["a < break > b", "List<String> x", "<b>bold</b> <speaker>"])
def test_what_only_looks_like_ssml_is_text(text):
    assert "".join(chunk.text for chunk in split_chunks(text)) == text


def test_a_line_of_ornaments_is_a_pause_not_speech():
    """ "* * *" has nothing to say; it keeps its place in the text."""
    for text in ("One.\n\n* * *\n\nTwo.", "One.\r\n* * *\r\nTwo."):
        one, ornament, two = split_chunks(clean(text))
        assert (ornament.text, ornament.speakable) == ("* * * ", False)
        assert (one.text, two.text) == ("One. ", "Two.")


def test_a_heading_line_needs_no_blank_line_after_it():
    """A line of prose that begins with "Chapter" is no heading."""
    text = "Before.\n\nChapter One\nIt began.\n\nChapter one of my book was\nfine."
    found = pauses(text, paragraph_pause_ms=2, chapter_pause_ms=3)
    assert found[:3] == [("Before.", 3), ("Chapter One", 2), ("It began.", 2)]
    assert [pause_ms for _, pause_ms in found[3:]] == [0] * (len(found) - 3)


def test_a_cut_does_not_part_names_ranges_or_figures():
    """Not after the stop of "Mr.", not after the dash of a range."""
    text = "Whom all of the children of the town had always called old Mr. Smith walked on and on"
    assert not any(c.spoken.endswith("Mr.") for c in split_chunks(text, chunk_chars=66))
    text = "On the pages 112–115 and the years 1990–1995 and so on for a long while after that one"
    for limit in range(20, 60):
        assert not any(c.text.endswith("–") for c in split_chunks(text, chunk_chars=limit))


def test_reference_numbers_are_removed_exactly():
    """Footnotes go; years in brackets, powers and units stay."""
    text = "It was [12], they say [3–5].¹² So 5 m², (a+b)² or sin²x in [1984] holds³ [sic]."
    assert clean(text, remove_references=True) == (
        "It was, they say. So 5 m², (a+b)² or sin²x in [1984] holds [sic]."
    )
    assert clean(text) == text


def replaced(text, replacements):
    """What is said for a text with `replacements` alone."""
    params = SpeakParams(text=text, replacements=replacements, normalize="off")
    return sayings_of(params, entry("hibari")).main.say(text).text


def test_replacements_are_whole_words_in_one_pass():
    """ "um" leaves "album" and "um-hum" alone; no replacement feeds another."""
    rules = {
        "um": "",
        "cat": "dog",
        "dog": "cat",
        "Mr. Smith": "the man",
        "Mr.": "Mister",
        "US": "America",
    }
    assert replaced("An album, um-hum, UM the cat and dog.", rules) == (
        "An album, um-hum,  the dog and cat."
    )
    assert replaced("Mr. Smith of the US told us, Mr. B.", rules) == (
        "the man of the America told us, Mister B."
    )


def test_footnote_numbers_of_any_length_go_whole_or_not_at_all():
    """Powers stay, however long; a space before a bracket goes with it."""
    text = "abc²³⁴ m²³⁴ sin²x³ word²²²a end.¹² a \t [12] b"
    assert clean(text, remove_references=True) == "abc m²³⁴ sin²x³ word²²²a end. a b"


@pytest.mark.parametrize("marks", ["\u0301\u0327", "\u0327", "\u05b0\u05bc"])
def test_more_accents_than_a_letter_can_have_are_refused_with_the_place(marks):
    """Sorting them takes the square of their number."""
    with pytest.raises(InputError, match=r"of 'Word a' \(character 6\) has more than 100"):
        clean(f"Word a{marks * 101} b")
    with pytest.raises(InputError, match="100 accents"):
        replaced("a b", {f"a{marks * 101}": "c"})
    assert clean(f"b{marks * (100 // len(marks))} " * 50).count("b") == 50


def test_replacements_know_unicodes_ways_to_write_a_letter():
    """A decomposed accent, a long s and a Kelvin sign match as their ordinary forms do."""
    rules = {"cafe\u0301": "bar", "s": "z", "k": "q"}
    assert replaced(clean("café ſ \u212a"), rules) == "bar z q"


def test_regular_expressions_only_when_asked():
    assert replaced("a.c abc", {"a.c": "X"}) == "X abc"
    assert clean("a.c abc", regex_replacements={"a.c": "X"}) == "X X"
    with pytest.raises(InputError, match="invalid group reference"):
        clean("a", regex_replacements={"a": r"\1"})


def test_pause_mark_pattern_is_what_the_docs_say():
    assert PAUSE_MARK.fullmatch("[pause 800ms]")
    assert PAUSE_MARK.fullmatch("[Pause 1.5 s]")
