"""What is put in words is told before a run, by rule, and stands in the record of each chunk."""

import json
import re

import pytest

from chatter_nb.notebook import show
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.in_words import in_words, left_as_written
from chatter_nb.runs.record import ChunkRecord
from chatter_nb.runs.speak import generate_tts, plan_speech
from chatter_nb.text.chunking import split_chunks
from chatter_nb.text.spoken.say import choose_rules
from chatter_nb.text.spoken.saying import Saying

TEXT = "It cost $1,250.\n\nShe paid $12, and walked 3 km. Siobhan saw it.\n\nIt rained."


def params_of(tmp_path, **values):
    values = {"text": TEXT, "engine": "hibari", "outputs_dir": str(tmp_path / "out")} | values
    return SpeakParams.create(values | {"replacements": {"Siobhan": "Shivawn"}})


def chunks_of(text, language="en"):
    say = Saying(language, choose_rules("auto")).say
    return split_chunks(text, language=language, say=say)


def test_the_plan_has_a_line_on_what_is_put_in_words(tmp_path):
    plan = plan_speech(params_of(tmp_path))
    (line,) = [line for line in str(plan).splitlines() if "in words" in line]
    assert line == (
        "note: put in words: currencies 2: $1,250 → one thousand two hundred fifty dollars; "
        "units 1: 3 km → three kilometers; replacements 1: Siobhan → Shivawn"
    )
    assert "in words" not in " ".join(plan.warnings)  # a record has it with each chunk
    assert "in words" not in str(plan_speech(params_of(tmp_path, text="It rained.")))


def test_the_contents_count_what_is_put_in_words(tmp_path, cli):
    (tmp_path / "a.txt").write_text(TEXT)
    given = ("contents", str(tmp_path / "a.txt"), "-p", "engine=hibari")
    lines = cli(*given, "-p", "replacements=Siobhan = Shivawn").stdout.splitlines()
    assert lines.count("put in words, units 1: 3 km → three kilometers") == 1
    assert (
        "put in words, currencies 2: $1,250 → one thousand two hundred fifty dollars, "
        "$12 → twelve dollars"
    ) in lines
    page = show.contents(params_of(tmp_path, text="", text_file=str(tmp_path / "a.txt"))).data
    assert "currencies 2: $1,250 → one thousand" in page
    assert "in words" not in cli(*given, "-p", "normalize=off").stdout


def test_a_lexicon_that_cannot_be_read_hides_no_chapters(tmp_path, cli):
    (tmp_path / "a.txt").write_text(TEXT)
    told = cli("contents", str(tmp_path / "a.txt"), "-p", f"lexicon={tmp_path / 'gone.yaml'}")
    assert "1 chapter, " in told.stdout
    assert "gone.yaml" in told.stdout


def test_many_rules_are_eight_lines():
    text = (
        "On Jan. 3, 1999, at 3:15 p.m. it was 6'2\" and 12 kg, i.e. 5 °C. IT WAS $5 -- or 12%"
        " -- on the 2nd floor, CHAPTER IV: www.example.com, 3/4 of 3.11.2, in the 1980s."
    )
    chunks = chunks_of(text)
    lines = in_words(chunks)
    assert len(lines) == 8
    assert re.fullmatch(r"\d other rules \d+", lines[-1])
    numbers = [int(re.search(r"\d+(?=:|$)", line)[0]) for line in lines]
    assert sum(numbers) == sum(len(chunk.changes) for chunk in chunks)
    assert numbers[:-1] == sorted(numbers[:-1], reverse=True)


@pytest.mark.parametrize(
    ("language", "text", "sentence"),
    [
        ("uk", "Це 25 і 3,5.", "left as written: 2 numbers; normalize knows nothing in 'uk'"),
        ("de-AT", "Am 19. Mai.", "left as written: 1 number; normalize knows only plain numbers"),
        ("en", "It was 25.", None),
        ("de", "Es waren 25 Leute.", None),
    ],
)
def test_numbers_of_a_language_without_rules_are_told_once(language, text, sentence):
    told = left_as_written(chunks_of(text, language), language)
    assert len(told) == (sentence is not None)
    assert sentence is None or sentence in told[0]


def test_a_chunks_record_has_what_was_said_where_it_differs(tmp_path):
    speech = generate_tts(params_of(tmp_path))
    assert [chunk.spoken for chunk in speech.record.chunks] == [
        "It cost one thousand two hundred fifty dollars.",
        "She paid twelve dollars, and walked three kilometers. Shivawn saw it.",
        None,
    ]
    (old,) = json.loads((speech.folder / "run.json").read_text())["chunks"][:1]
    old.pop("spoken")  # a record of an earlier version
    assert ChunkRecord(**old).spoken is None
