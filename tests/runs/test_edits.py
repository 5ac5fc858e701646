"""Edits of a run: what they change, what they leave alone, and that none is lost."""

import csv
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from conftest import ROOT
from fakes import SpoilingEngine, speaking_with
from hypothesis import given, settings
from hypothesis import strategies as st

from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.engines.base import ChunkPart
from chatter_nb.engines.hibari import HibariEngine
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.check import check_params
from chatter_nb.runs.choosing import split_record
from chatter_nb.runs.content import content_digest
from chatter_nb.runs.edits import (
    EDITS,
    Edit,
    Edits,
    edit_chunks,
    edit_of,
    load_edits,
    match_edits,
    next_take,
    save_edits,
    text_hash,
)
from chatter_nb.runs.folder import NOTEBOOK, RECORD, RunFolder
from chatter_nb.runs.keys import Identities
from chatter_nb.runs.places import place_chunks, placed_chunks
from chatter_nb.runs.resume import MARK, mark_of, state_of
from chatter_nb.runs.revise import (
    apply_edits,
    audacity_labels,
    load_revisable,
    make_line,
    pickups_csv,
    revise,
    revised_params,
)
from chatter_nb.runs.speak import generate_tts, load_speech, plan_speech
from chatter_nb.runs.store import ChunkStore
from chatter_nb.text.chunking import Chunk, split_chunks

TEXT = "The first line is here.\n\nDr. Who said yes.\n\nYes.\n\nYes.\n\nThe last line is here."


def words_of(chunk, words, **values):
    """An edit of a chunk of a record."""
    return edit_of(chunk).model_copy(update={"words": words, **values})


def applied(speech, *edits):
    """The run with these edits in its edits.json, and applied."""
    save_edits(speech.folder, edits)
    return apply_edits(speech)


@cache
def lines(texts):
    """Chunks as a text has them, a paragraph each."""
    return tuple(place_chunks("speech", split_chunks("\n\n".join(texts))))


SOME = st.sampled_from(["Yes.", "No.", "Perhaps, Mr. Jones."])


@given(st.lists(SOME, min_size=1, max_size=8), st.dictionaries(st.integers(0, 7), SOME))
@settings(max_examples=300)
def test_an_edit_changes_the_key_and_the_seed_of_no_other_chunk(texts, words):
    """Whatever is edited to whatever, also to another chunk's words; and no key comes twice."""
    chunks = lines(tuple(texts))
    edits = [
        Edit(
            document="speech",
            start=chunks[at].start,
            end=chunks[at].end,
            text_sha256=text_hash(chunks[at].source.text),
            words=text,
        )
        for at, text in words.items()
        if at < len(chunks)
    ]
    edited, notes = edit_chunks(chunks, edits, str)
    assert notes == []
    identities = Identities(7, {("", ""): {"engine": "x"}})
    before, after = identities.identify(chunks), identities.identify(edited)
    changed = {e.start for e in edits}
    for was, now in zip(before, after, strict=True):
        if now.placed.start not in changed or now.chunk.spoken == was.chunk.spoken:
            assert (now.key, now.seed, now.occurrence) == (was.key, was.seed, was.occurrence)
        else:
            assert now.key not in {planned.key for planned in before}
    assert len({planned.key for planned in after}) == len(after)


def test_a_chunk_of_the_record_has_its_place_in_the_text(speak):
    """Also in a record from before there were places."""
    speech = speak(text=TEXT)
    shown = "".join(chunk.text for chunk in speech.record.chunks)
    for chunk in speech.record.chunks:
        assert chunk.document == "speech"
        assert shown[chunk.start : chunk.end] == chunk.text
    assert without_places(speech).record.chunks == speech.record.chunks


def test_parts_of_a_chunk_that_was_split_share_its_place(speak):
    """An edit is of the whole chunk; also in a record from before there were places."""
    speech = speak(text="Before.\n\nOne and two and three.\n\nAfter.")
    before, whole, after = speech.record.chunks
    parts = split_record(
        whole,
        [ChunkPart("One and two", 0, 9_000), ChunkPart("and three.", 9_000, 20_000)],
        0,
        24_000,
    )
    chunks = (before, *parts, after.model_copy(update={"index": 3}))
    [output] = speech.record.outputs
    outputs = (output.model_copy(update={"chunks": 4}),)
    record = speech.record.model_copy(update={"chunks": chunks, "outputs": outputs})
    assert [edit_of(part) for part in parts] == [edit_of(whole)] * 2
    assert [placed.chunk.text for placed in placed_chunks(record)] == [
        chunk.text for chunk in speech.record.chunks
    ]
    assert without_places(replace(speech, record=record)).record.chunks == chunks


def without_places(speech):
    """The run as it is read if its record was written before chunks had places."""
    values = speech.record.model_dump(mode="json", by_alias=True)
    for chunk in values["chunks"]:
        for name in ("document", "start", "end", "source_text"):
            del chunk[name]
    (speech.folder / RECORD).write_text(json.dumps(values))
    return load_speech(speech.folder)


def test_edited_words_are_spoken_and_only_they_are_made(speak):
    """They are cleaned as the text is, and stand in the record beside the text before."""
    speech = speak(text=TEXT, replacements={"blue": "red"})
    third = speech.record.chunks[1]
    after = applied(speech, words_of(third, " Prof. Who\n said cafe\u0301, blue. "))
    chunk = after.record.chunks[1]
    assert chunk.text == "Prof. Who said café, blue. "
    planned = plan_speech(revised_params(after)).chunks[1]
    assert (planned.key, planned.chunk.spoken) == (chunk.key, "Prof. Who said café, red.")
    assert chunk.source_text == "Dr. Who said yes. "
    assert (chunk.start, chunk.end, chunk.pause_ms) == (third.start, third.end, third.pause_ms)
    assert [c.cached for c in after.record.chunks] == [True, False, True, True, True]
    assert [c.key for c in after.record.chunks if c.index != 1] == [
        c.key for c in speech.record.chunks if c.index != 1
    ]
    back = applied(after, edit_of(chunk))
    assert back.record.chunks[1].key == third.key
    assert back.record.model_calls == 0
    assert load_edits(back.folder / EDITS).edits == ()


@pytest.mark.parametrize("name", ["wav", "flac"])
def test_files_are_the_same_outside_the_edited_chunk_and_its_crossfade(speak, name):
    """Of a sentence that had to be cut, the middle is edited: samples after it are shifted."""
    long = "the quick brown fox jumps over the lazy dog and " * 4
    speech = speak(text=f"Before.\n\n{long}\n\nAfter.", chunk_chars=70, formats=[name])
    at = 2
    assert speech.record.chunks[at].pause_ms == speech.record.chunks[at - 1].pause_ms == 0
    was, rate = speech.read()
    after = applied(speech, words_of(speech.record.chunks[at], "a slow green cat sleeps and"))
    now, _ = after.read()
    fade = round(speech.record.params["crossfade_ms"] / 1000 * rate)
    start = round(speech.record.chunks[at].start_s * rate) - fade
    tail = len(was) - round(speech.record.chunks[at].end_s * rate) - fade
    assert len(was) != len(now)
    assert min(start, tail) > rate
    assert np.array_equal(was[:start], now[:start])
    assert np.array_equal(was[-tail:], now[-tail:])
    assert not np.array_equal(was[start : len(was) - tail], now[start : len(now) - tail])


def test_a_line_that_was_heard_is_what_the_files_get(speak):
    """Two edits to the same words, one of them saved before: none is made twice."""
    speech = speak(text=TEXT)
    chunks = speech.record.chunks
    first, second = words_of(chunks[0], "Yes."), words_of(chunks[4], "Yes.", take=3)
    save_edits(speech.folder, [first])
    heard = [make_line(speech, edit) for edit in (first, second)]
    after = applied(speech, second)
    assert after.record.model_calls == 0
    made = [after.record.chunks[at] for at in (0, 4)]
    assert [(c.key, c.take) for c in made] == [(line.key, line.take) for line in heard]
    samples, rate = after.read()
    for chunk, line in zip(made, heard, strict=True):
        start = round(chunk.start_s * rate)
        part = samples[start : start + len(line.audio)]
        assert np.abs(part - line.audio).max() < 1 / 32_000
    assert next_take(made[1], second) == 4
    assert next_take(chunks[4], words_of(chunks[4], "Other words.")) == 1


@pytest.mark.parametrize("name", [EDITS, "review.json", "review (1).json"])
def test_takes_that_were_heard_and_not_applied_survive_clean_unused(speak, cli, tmp_path, name):
    """As long as edits.json, or a review beside it, names their lines; then they go."""
    speech = speak(text=TEXT)
    chunks = speech.record.chunks
    wanted = [words_of(chunks[1], "Doctor Who said no."), words_of(chunks[0], None, take=2)]
    edits = [wanted[0], edit_of(chunks[4]).model_copy(update={"flag": True}), wanted[1]]
    heard = [make_line(speech, edit).key for edit in wanted]
    earlier = make_line(speech, words_of(chunks[0], None, take=1)).key
    unnamed = make_line(speech, words_of(chunks[4], None, take=1)).key
    values = Edits(edits=tuple(edits)).model_dump(mode="json", by_alias=True)
    (speech.folder / name).write_text(json.dumps(values))
    clean = ("clean", "--unused", "--outputs-dir", tmp_path)
    cli(*clean, check=0)
    store = ChunkStore(tmp_path)
    assert [store.has(key) for key in (*heard, earlier, unnamed)] == [True, True, True, False]
    (speech.folder / name).write_text("{}x")
    assert str(speech.folder / name) in cli(*clean, check=2).stderr
    (speech.folder / name).unlink()
    cli(*clean, check=0)
    assert [store.has(key) for key in (*heard, earlier)] == [False] * 3


def test_a_line_without_an_edit_is_the_stored_one(speak):
    speech = speak(text=TEXT)
    line = make_line(speech, edit_of(speech.record.chunks[3]))
    assert line.key == speech.record.chunks[3].key
    elsewhere = edit_of(speech.record.chunks[3]).model_copy(update={"text_sha256": "0" * 16})
    with pytest.raises(InputError, match="speech, characters 47 to 52: the run has no such line"):
        make_line(speech, elsewhere)


def test_a_line_of_a_checked_run_is_checked(tmp_path):
    """The spoiled first take is not what is heard, and its repair is not made twice."""
    text = "The baker opened her little shop.\n\nThree grey geese crossed the frozen pond."
    params = SpeakParams(text=text, engine="hibari", outputs_dir=str(tmp_path), run_name="run")
    params = params.model_copy(update={"verify": "fast", "verify_workers": 0})
    words = "Four white swans crossed the frozen river at night."
    with speaking_with(SpoilingEngine(HibariEngine())) as engine:
        speech = generate_tts(params)
        edit = words_of(speech.record.chunks[1], words)
        plain = make_line(speech, edit)
        assert (plain.verdict, plain.take) == ("ok", 0)
        again = edit.model_copy(update={"words": f"{words} So they say in the village."})
        engine.spoilers[_seed(speech, again)] = lambda audio, times: audio[: len(audio) // 2]
        line = make_line(speech, again)
        assert (line.verdict, line.take) == ("ok", 1)
        after = applied(speech, again)
        assert after.record.chunks[1].key == line.key
        assert after.record.model_calls == 0


def _seed(speech, edit):
    """The seed of an edit's chunk at take 0."""
    save_edits(speech.folder, [edit])
    params = SpeakParams.create(
        speech.record.params | {"edits": str(speech.folder / EDITS)}, where="test"
    )
    return plan_speech(params).chunks[1].seed


def test_an_edit_finds_its_text_where_it_is_now():
    """At its place, else nearest; an edit whose text is gone finds no other."""
    before = lines(("Yes.", "No.", "Yes."))
    yes = [
        Edit(document="speech", start=p.start, end=p.end, text_sha256=text_hash("Yes. "), note="n")
        for p in before
    ]
    after = lines(("New.", "Yes.", "No.", "Yes.", "End."))
    assert match_edits(after, [yes[0]]) == ({1: yes[0]}, [])
    far = yes[0].model_copy(update={"start": 90, "end": 95})
    assert match_edits(after, [far, yes[0]]) == ({3: far, 1: yes[0]}, [])
    third = yes[0].model_copy(update={"start": 4, "end": 9})
    matched, lost = match_edits(after, [far, yes[0], third])
    assert (sorted(matched), lost) == ([1, 3], [third])
    assert match_edits(after, [yes[0].model_copy(update={"document": "other"})])[0] == {}


def test_an_edit_whose_text_is_gone_is_listed_and_no_error(speak):
    speech = speak(text=TEXT)
    gone = words_of(speech.record.chunks[1], "Never heard.", note="too fast")
    stray = gone.model_copy(update={"document": "chapter 9"})
    save_edits(speech.folder, [gone, stray])
    after = speak(text=TEXT.replace("Who", "What"), edits=str(speech.folder / EDITS))
    told = [warning for warning in after.record.warnings if "gone" in warning]
    assert [warning.count("(note: too fast)") for warning in told] == [1, 1]
    assert "1 edit not used, as the text there is gone: speech, characters 24 to 42" in told[0]
    assert "chapter 9" in told[1]
    assert load_edits(speech.folder / EDITS).edits == (stray, gone)


def test_a_moved_edit_is_one_edit(speak, tmp_path):
    """After the text file has changed, a second edit of the line replaces the first."""
    text = tmp_path / "story.txt"
    text.write_text(TEXT)
    speech = speak(text_file=str(text))
    save_edits(speech.folder, [words_of(speech.record.chunks[1], "Old words.")])
    text.write_text(f"A new first line.\n\n{TEXT}")
    moved = apply_edits(speech)
    assert moved.record.chunks[2].text.strip() == "Old words."
    edits = save_edits(speech.folder, [words_of(moved.record.chunks[2], "New words.")]).edits
    assert [edit.words for edit in edits] == ["New words."]


def test_a_rerun_without_the_edits_says_that_it_does_not_apply_them(speak):
    speech = speak(text=TEXT)
    applied(speech, words_of(speech.record.chunks[0], "Other words."))
    again = speak(text=TEXT)
    assert again.record.chunks[0].text == speech.record.chunks[0].text
    [warning] = again.record.warnings
    assert warning.endswith("are not applied: to apply them, name the file in edits")


def test_edits_of_a_file_that_the_run_was_given_are_not_lost(speak, tmp_path):
    """The first edit in the folder joins them."""
    speech = speak(text=TEXT, run_name="first")
    edits = Edits(edits=(words_of(speech.record.chunks[0], "From a file."),))
    mine = tmp_path / "mine.json"
    mine.write_text(edits.model_dump_json(by_alias=True))
    speech = speak(text=TEXT, edits=str(mine))
    assert speech.record.chunks[0].text.strip() == "From a file."
    after = applied(speech, words_of(speech.record.chunks[4], "From the page."))
    texts = [chunk.text.strip() for chunk in after.record.chunks]
    assert (texts[0], texts[4]) == ("From a file.", "From the page.")


def test_words_that_are_none_leave_the_pause(speak):
    speech = speak(text=TEXT)
    after = applied(speech, words_of(speech.record.chunks[1], " — "))
    chunk = after.record.chunks[1]
    assert chunk.end_s == chunk.start_s
    assert chunk.pause_ms == speech.record.chunks[1].pause_ms
    [warning] = after.record.warnings
    assert "characters 24 to 42: there are no words left, only the pause" in warning
    assert len(make_line(after, words_of(chunk, "")).audio) == 0
    with pytest.raises(InputError, match="nothing to speak"):
        applied(speech, *[words_of(chunk, "") for chunk in speech.record.chunks])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"words": "x" * 2001}, r"edit 1 \(speech, character 0\): words has 2,001.*at most 2,000"),
        ({"start": -1}, "start: .*an edit has document, start, end, text_sha256, words, take"),
        ({"take": "2"}, "take: .*valid integer"),
        ({"text_sha256": "x"}, "text_sha256: "),
        ({"words": "a\0b"}, "NUL"),
        ({"colour": "red"}, "colour: .*an edit has document"),
    ],
)
def test_a_file_of_edits_that_is_wrong_names_the_place_and_the_cure(change, message, tmp_path):
    path = tmp_path / "review.json"
    edit = {"document": "speech", "start": 0, "end": 5, "text_sha256": "0" * 16} | change
    path.write_text(json.dumps({"schema": 1, "edits": [edit]}))
    with pytest.raises(InputError, match=message):
        load_edits(path)
    findings = check_params(SpeakParams(text="Hello.", engine="hibari", edits=str(path)))
    assert any("is no file of edits" in problem for problem in findings.problems)


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 2}', '{"edits": [3]}', "\x00\xff", "nu"])
def test_any_other_file_is_refused(content, tmp_path):
    path = tmp_path / "review.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match="is no file of edits"):
        load_edits(path)
    with pytest.raises(InputError, match="cannot read the edits"):
        load_edits(tmp_path / "none.json")


def test_a_pause_and_markup_in_words_are_refused_with_their_place(speak):
    speech = speak(text=TEXT)
    for words, message in (
        ("Well [pause 1s] yes.", r"characters 24 to 42: '\[pause 1s\]' is a pause"),
        ("Well <break/> yes.", "characters 24 to 42: .* is SSML"),
    ):
        with pytest.raises(InputError, match=message):
            make_line(speech, words_of(speech.record.chunks[1], words))
        with pytest.raises(ParamError, match=message):
            applied(speech, words_of(speech.record.chunks[1], words))


def test_takes_of_an_edited_chunk_are_no_error(speak):
    """A record's `takes` names keys of its text; an edit may replace a chunk that it names."""
    key = speak(text=TEXT).record.chunks[1].key
    speech = speak(text=TEXT, takes={key: 2})
    assert speech.record.chunks[1].take == 2
    after = applied(speech, words_of(speech.record.chunks[1], "Other words."))
    assert after.record.chunks[1].take == 0
    with pytest.raises(ParamError, match="no chunk of this text"):
        speak(text=TEXT, takes={"0" * 32: 1}, edits=str(after.folder / EDITS))


def test_edits_count_by_their_content_in_a_batch(speak, tmp_path):
    path = tmp_path / "my edits.json"
    params = SpeakParams(text="Hello.", edits=str(path))
    with pytest.raises(InputError, match=r"my edits\.json does not exist"):
        content_digest(params)
    path.write_text('{"schema": 1}')
    before = content_digest(params)
    path.write_text('{"schema": 1, "edits": []}')
    assert content_digest(params) not in (before, "")
    assert content_digest(SpeakParams(text="Hello.")) == ""


KILLED = """
import sys
from pathlib import Path
from chatter_nb.runs.edits import (Edit, save_edits)
for start in range(int(sys.argv[2]), 10_000):
    edit = Edit(document="speech", start=start, end=start + 1, text_sha256="0" * 16, note="x")
    save_edits(Path(sys.argv[1]), [edit])
    print(start, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_kill_loses_no_edit_that_was_shown_as_saved(tmp_path):
    """Killed in the middle of saving, again and again."""
    folder = tmp_path / "run"
    folder.mkdir()
    saved: list[int] = []
    for shown in (1, 30, 7):
        command = [sys.executable, "-c", KILLED, str(folder), str(len(saved))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            saved += [int(process.stdout.readline()) for _ in range(shown)]
            process.send_signal(signal.SIGKILL)
            saved += [int(line) for line in process.stdout.read().splitlines()]
        kept = {edit.start for edit in load_edits(folder / EDITS).edits}
        assert kept >= set(saved)
    assert len(saved) >= 38


def test_flags_and_notes_are_kept_without_words_and_listed(speak):
    """As CSV and as labels; a note with tabs, quotes and line breaks is one line of each."""
    speech = speak(text=TEXT)
    chunks = speech.record.chunks
    noted = edit_of(chunks[1]).model_copy(update={"note": 'slow "down"\n\there'})
    flagged = edit_of(chunks[4]).model_copy(update={"flag": True})
    after = applied(speech, noted, flagged, words_of(chunks[0], "Only words."))
    assert after.record.chunks[1].key == chunks[1].key
    rows = list(csv.DictReader(pickups_csv(after).splitlines(keepends=True)))
    assert [(row["line"], row["flag"], row["note"]) for row in rows] == [
        ("1", "False", noted.note),
        ("4", "True", ""),
    ]
    assert float(rows[0]["start_s"]) == pytest.approx(after.record.chunks[1].start_s, abs=1e-3)
    first, last = audacity_labels(after).splitlines()
    assert first.split("\t")[2] == 'slow "down" here: Dr. Who said yes.'
    assert last.split("\t")[2] == "flagged: The last line is here."


def test_doubtful_lines_are_listed_with_their_reasons(tmp_path):
    params = SpeakParams.create(
        {"text": "The baker opened her little shop at seven.", "engine": "hibari", "tries": 1}
        | {"outputs_dir": str(tmp_path), "run_name": "run", "verify": "fast", "verify_workers": 0}
    )
    with speaking_with(SpoilingEngine(HibariEngine())) as engine:
        engine.spoilers[plan_speech(params).chunks[0].seed] = lambda audio, _: audio[:20_000]
        speech = generate_tts(params)
    [row] = csv.DictReader(pickups_csv(speech).splitlines())
    assert row["doubt"]
    assert row["doubt"].split(";")[0] in audacity_labels(speech)


def test_an_edit_is_of_its_own_document(speak, tmp_path):
    """Of a folder that is not merged; labels are of one output, as times start with each."""
    texts = tmp_path / "texts"
    texts.mkdir()
    for name in ("1", "2"):
        (texts / f"{name}.txt").write_text("The same text.\n\nThe end.")
    speech = speak(text_file=str(texts), merge=False)
    second = speech.record.chunks[2]
    assert (second.document, second.start) == ("2", 0)
    edit = words_of(second, "Another text.", flag=True)
    line = make_line(speech, edit)
    after = applied(speech, edit)
    assert [c.text.strip() for c in after.record.chunks] == [
        *("The same text.", "The end."),
        *("Another text.", "The end."),
    ]
    assert after.record.chunks[2].key == line.key
    assert audacity_labels(after, "1") == ""
    assert audacity_labels(after, "2").startswith("0.000\t")


def test_a_revised_run_of_a_batch_is_done(speak):
    """Its notebook is of the run before: the batch would make it again, without the edits."""
    speech = speak(text=TEXT)
    mark = {"metadata": {MARK: mark_of(speech.record, "key")}, "cells": ["ö"]}
    (speech.folder / NOTEBOOK).write_text(json.dumps(mark))
    revised = applied(speech, words_of(speech.record.chunks[0], "Other words."))
    assert revised.record.files != speech.record.files
    assert state_of(RunFolder(speech.folder), "key") == ("done", "")
    assert json.loads((speech.folder / NOTEBOOK).read_text())["cells"] == ["ö"]


def test_a_revised_run_keeps_its_drawn_seed_and_its_place(tmp_path):
    """The folder was moved since: only the edited chunk is made, in the new folder."""
    params = SpeakParams(text=TEXT, engine="hibari", seed=-1, outputs_dir=str(tmp_path / "a"))
    generate_tts(params)
    (tmp_path / "a").rename(tmp_path / "b")
    [folder] = [path.parent for path in (tmp_path / "b").glob("*/run.json")]
    speech = load_revisable(folder)
    review = tmp_path / "review.json"
    edits = Edits(edits=(words_of(speech.record.chunks[0], "Other words."),))
    review.write_text(edits.model_dump_json(by_alias=True))
    after = revise(folder, review)
    assert after.folder == folder
    assert (after.record.seed, after.record.model_calls) == (speech.record.seed, 1)
    assert not (tmp_path / "a").exists()


# other formats


def test_another_format_keeps_the_files_that_are_there(speak):
    """What was asked for comes first; the others stay, listed, and the run is proved."""
    speech = speak(text=TEXT, formats=["wav"])
    wav = (speech.folder / "speech.wav").read_bytes()
    speak(text=TEXT, formats=["mp3"])
    again = speak(text=TEXT, formats=["flac"])
    assert [path.name for path in again.files] == ["speech.flac", "speech.wav", "speech.mp3"]
    assert (again.folder / "speech.wav").read_bytes() == wav
    assert RunFolder(again.folder).is_proved()
    revised = applied(again, words_of(again.record.chunks[0], "Other words."))
    assert sorted(path.suffix for path in revised.files) == [".flac", ".mp3", ".wav"]
    assert (revised.folder / "speech.wav").read_bytes() != wav


@pytest.mark.parametrize(
    "change", [{"text": "Other."}, {"sentence_pause_ms": 0}, {"seed": 4}, {"voice": "", "speed": 2}]
)
def test_files_of_another_run_do_not_stay(speak, change):
    speech = speak(text=TEXT, formats=["wav"])
    after = speak(**{"text": TEXT, "formats": ["mp3"], **change})
    assert [path.name for path in after.files] == ["speech.mp3"]
    assert not (speech.folder / "speech.wav").exists()


def test_a_file_that_has_changed_does_not_stay(speak):
    speech = speak(text=TEXT, formats=["wav"])
    with (speech.folder / "speech.wav").open("ab") as file:
        file.write(b"\0")
    after = speak(text=TEXT, formats=["mp3"])
    assert [path.name for path in after.files] == ["speech.mp3"]
    assert not (speech.folder / "speech.wav").exists()


def test_a_language_without_full_stops_keeps_its_borders():
    """A chunk that ends without a space gets none from its edit."""
    [placed] = place_chunks("speech", [Chunk(0, "你好。", 0, "zh")])
    edit = Edit(document="speech", start=0, end=3, text_sha256=text_hash("你好。"), words="再见。")
    [edited], _ = edit_chunks([placed], [edit], str)
    assert edited.chunk.text == "再见。"
