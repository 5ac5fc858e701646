"""A run's own words: what the voice is given for them, what is made again, what is told before."""

import pytest

from chatter_nb import SpeakParams, plan_speech
from chatter_nb.base.errors import InputError
from chatter_nb.engines.registry import entry
from chatter_nb.runs.saying import sayings_of

TEXT = (
    "Siobhan met the two Siobhans.\n\nIt was late.\n\nHer friend Niamh slept.\n\n"
    "Siobhan's hat, at 25 000 feet."
)


def lexicon(folder, text):
    (folder / "names.yaml").write_text(text, encoding="utf-8")
    return [str(folder / "names.yaml")]


def spoken(folder, **values):
    own = {"text": TEXT, "engine": "hibari", "outputs_dir": str(folder)} | values
    return [planned.chunk.spoken for planned in plan_speech(SpeakParams(**own)).chunks]


def test_an_edited_entry_remakes_exactly_the_chunks_that_hold_it(speak, tmp_path):
    """By the real voice; the text that is shown stays its author's."""
    own = lexicon(tmp_path, "Siobhan: Shivawn\nNiamh:\n  ipa: ˈniːv\n")
    first = speak(text=TEXT, lexicon=own)
    lexicon(tmp_path, "Siobhan: Shuvahn\nNiamh:\n  ipa: ˈniːv\n")
    second = speak(text=TEXT, lexicon=own)
    assert [chunk.cached for chunk in second.record.chunks] == [False, True, True, False]
    lexicon(tmp_path, "Siobhan: Shivawn\nNiamh:\n  ipa: ˈniːəv\n")
    third = speak(text=TEXT, lexicon=own)
    assert [chunk.cached for chunk in third.record.chunks] == [True, True, False, True]
    assert "".join(chunk.text for chunk in third.record.chunks) == " ".join(TEXT.split())
    keys = [[chunk.key for chunk in run.record.chunks] for run in (first, third)]
    assert [a == b for a, b in zip(*keys, strict=True)] == [True, True, False, True]


def test_replacements_come_before_the_lexicon_and_rules_after_both(tmp_path):
    own = lexicon(tmp_path, "Siobhan: Shivawn\nfeet: metres\nNiamh:\n  ipa: niːv\n")
    assert spoken(tmp_path, lexicon=own, replacements={"Siobhan": "Niamh"}) == [
        "Niamh met the two Niamhs.",
        "It was late.",
        "Her friend [Niamh](/niv/) slept.",
        "Niamh's hat, at twenty-five thousand metres.",
    ]


def test_exact_forms_leave_possessive_and_plural(tmp_path):
    exact = lexicon(tmp_path, "Siobhan:\n  say: Shivawn\n  forms: exact\n")
    first, *_, last = spoken(tmp_path, lexicon=exact, normalize="off")
    assert first == "Shivawn met the two Siobhans."
    assert last == "Siobhan's hat, at 25 000 feet."


def test_what_an_engine_cannot_use_is_told_before_the_run(tmp_path):
    own = lexicon(tmp_path, "Niamh:\n  ipa: niːv\nSiobhan:\n  ipa: x\n  say: Shivawn\n")
    params = SpeakParams(text=TEXT, lexicon=own)
    sayings = sayings_of(params, entry("chatterbox"))
    (note,) = sayings.notes
    assert "chatterbox takes no phonemes, so that it reads Niamh as written" in note
    assert sayings.main.say("Niamh, Siobhan").text == "Niamh, Shivawn"
    with pytest.raises(InputError, match="lexicon: Siobhan: ipa 'x' has no vowel"):
        sayings_of(params, entry("hibari"))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            "Niamh: {say: Neev, engine: hibarri}",
            "Niamh: engine 'hibarri' is none of chatterbox",
        ),
        ("Niamh: {say: Neev, language: irish}", "language: 'irish' must be a code such as en"),
    ],
)
def test_an_entry_that_would_never_hold_is_refused(tmp_path, content, told):
    own = lexicon(tmp_path, content)
    with pytest.raises(InputError, match=told):
        sayings_of(SpeakParams(text=TEXT, lexicon=own), entry("hibari"))
