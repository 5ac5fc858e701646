"""Words of a run: kept with their chunks, and placed in the text and in the joined file."""

import itertools
import json

import numpy as np
import pytest
from conftest import OZ
from fakes import ToneEngine, speaking_with

from chatter_nb.audio.words import WordTime
from chatter_nb.base.errors import EngineError, OutputError
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.record import ChunkRecord
from chatter_nb.runs.store import ChunkStore
from chatter_nb.runs.words_file import joined_words
from chatter_nb.text.places import words_of

TEXT = """Dr. Smith paid $5 million on 12 Jan 2024 — see Fig. 3, cf. Jones et al. 2019.

[pause 800ms] At 3:30 pm, 50% of “R&D” left, and the co\u00adoperation of 1,250 friends began. * * *

The cat, the cat and the other cat sat; the cat's mat was theirs."""


@pytest.fixture
def store(tmp_path):
    return ChunkStore(tmp_path)


def words_in(speech, name="speech"):
    return json.loads((speech.folder / f"{name}.words.json").read_text(encoding="utf-8"))


def shown(speech, word):
    text = speech.record.chunks[word["chunk"]].text
    return text[word["text_start"] : word["text_end"]]


def test_every_word_has_its_place_in_the_text_and_its_time_in_the_file(speak):
    speech = speak(text=TEXT, chunk_chars=60)
    words, chunks = words_in(speech), speech.record.chunks
    order = [(word["chunk"], word["text_start"], word["text_end"]) for word in words]
    assert [chunks[at].text[start:end] for at, start, end in dict.fromkeys(order)] == [
        chunk.text[start:end] for chunk in chunks for start, end in words_of(chunk.text)
    ]
    several = [(word["word"], shown(speech, word)) for word in words if "5" in shown(speech, word)]
    assert several == [("five", "$5"), ("fifty", "50%"), ("percent", "50%"), ("1,250", "1,250")]
    assert {"Figure": "Fig", "compare": "cf", "cooperation": "co\u00adoperation"}.items() <= {
        word["word"]: shown(speech, word) for word in words
    }.items()
    for word in words:
        chunk = chunks[word["chunk"]]
        assert chunk.start_s - 1e-4 <= word["start_s"] <= word["end_s"] <= chunk.end_s + 1e-4
    assert order == sorted(order)
    assert all(a["end_s"] <= b["start_s"] + 0.02 for a, b in itertools.pairwise(words))  # overlap


def test_times_hold_to_the_end_of_the_joined_file(speak):
    """Trimmed edges, pauses and crossfades add up to no drift: chunks begin with their words."""
    text = OZ.read_text(encoding="utf-8")[:1500]
    speech = speak(text=text, chunk_chars=90, sentence_pause_ms=333, paragraph_pause_ms=707)
    samples, rate = speech.read()
    first = {word["chunk"]: word["start_s"] for word in reversed(words_in(speech))}
    level = np.abs(samples) > np.abs(samples).max() * 10 ** (-45 / 20)
    errors_s = []
    for before, chunk in itertools.pairwise(speech.record.chunks):
        if before.pause_ms:
            onset = np.flatnonzero(level[round(chunk.start_s * rate) :])[0]
            errors_s.append(first[chunk.index] - chunk.start_s - onset / rate)
    assert len(errors_s) >= 8
    assert max(np.abs(errors_s)) <= 0.02


def test_the_file_is_proved_apart_from_the_audio(speak):
    """What shows a run's files shows audio: the words stand beside them in run.json."""
    speech = speak(text="One, two.\n\nThree.", formats=["wav", "flac"])
    (file,) = speech.record.word_files
    assert file.name == "speech.words.json"
    assert [path.name for path in speech.files] == ["speech.wav", "speech.flac"]
    folder = RunFolder(speech.folder)
    assert folder.is_proved()
    (speech.folder / file.name).write_text("[]\n")
    assert not folder.is_proved()


def test_a_resume_and_kept_chunks_give_the_same_words(speak):
    once = speak(text=TEXT)
    before = (once.folder / "speech.words.json").read_bytes()
    again = speak(text=TEXT)
    assert again.record.model_calls == 0
    assert (again.folder / "speech.words.json").read_bytes() == before
    assert again.record.word_files == once.record.word_files


@pytest.mark.parametrize("damage", ["none", "half", "list", "folder"])
def test_without_the_words_of_one_chunk_there_is_no_file(speak, store, damage):
    """A chunk kept from before, or damaged words: the chunk is used, the earlier file goes."""
    before = speak(text=TEXT)
    audio = (before.folder / "speech.wav").read_bytes()
    path = store._words_path(before.record.chunks[1].key)
    content = path.read_bytes()
    path.unlink()
    if damage == "half":
        path.write_bytes(content[:-20])
    elif damage == "list":
        path.write_text("[[]]")
    elif damage == "folder":
        path.mkdir()
    after = speak(text=TEXT)
    assert (after.record.model_calls, after.record.warnings) == (0, before.record.warnings)
    assert (after.folder / "speech.wav").read_bytes() == audio
    assert after.record.word_files == ()
    assert not (after.folder / "speech.words.json").exists()
    assert RunFolder(after.folder).is_proved()


def test_an_engine_without_times_writes_no_words(speak):
    with speaking_with(ToneEngine()):
        speech = speak(text="One.\n\nTwo.")
    assert speech.record.word_files == ()
    assert sorted(path.name for path in speech.folder.iterdir()) == ["run.json", "speech.wav"]
    assert not list(speech.folder.parent.glob(".chunks/*/*.words.json"))


def test_each_output_of_a_folder_has_its_words(speak, tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "1.txt").write_text("One text.")
    (texts / "2.txt").write_text("Another, longer.")
    speech = speak(text_file=str(texts), merge=False)
    assert [file.name for file in speech.record.word_files] == ["1.words.json", "2.words.json"]
    assert [shown(speech, word) for word in words_in(speech, "2")] == ["Another", "longer"]


def test_a_run_that_fails_leaves_the_earlier_words(speak, monkeypatch):
    before = speak(text=TEXT)
    words = (before.folder / "speech.words.json").read_bytes()

    def fail(*args):
        raise EngineError("no")

    monkeypatch.setattr("chatter_nb.runs.speak_run.check_sound", fail)
    with pytest.raises(EngineError):
        speak(text=TEXT, seed=9)
    assert (before.folder / "speech.words.json").read_bytes() == words
    assert RunFolder(before.folder).is_proved()
    assert not list(before.folder.glob(".*.part"))


def test_a_folder_in_the_place_of_the_words_is_told_before_the_work(speak, tmp_path):
    (tmp_path / "run" / "speech.words.json").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"speech\.words\.json: a folder is in its place"):
        speak(text="One.")
    assert not list(tmp_path.glob(".chunks/*/*"))


def record_of(index, text, start_s, end_s, split_from=None):
    return ChunkRecord(
        index=index,
        key="ab",
        text=text,
        start_s=start_s,
        end_s=end_s,
        pause_ms=0,
        seed=0,
        take=0,
        attempts=1,
        cached=False,
        split_from=split_from,
    )


def test_words_of_a_chunk_that_was_split_stand_in_its_parts():
    """Times count from the front that was cut off; none lies outside the chunk."""
    records = [record_of(4, "One two, ", 10.0, 10.9, 4), record_of(5, "three four.", 10.9, 12.0, 4)]
    spoken = zip(("One", "two", "three", "four"), (0.2, 0.8, 1.3, 1.9), strict=True)
    words = [WordTime(text, start_s, start_s + 0.5) for text, start_s in spoken]
    placed = list(joined_words(words, "One two, three four.", records, 0.25, "hibari"))
    assert [(w["chunk"], w["text_start"], w["text_end"]) for w in placed] == [
        (4, 0, 3),
        (4, 4, 7),
        (5, 0, 5),
        (5, 6, 10),
    ]
    assert [w["start_s"] for w in placed] == [10.0, 10.55, 11.05, 11.65]
    assert [w["end_s"] for w in placed] == [10.45, 11.05, 11.55, 12.0]
