"""Subtitles of a run: real files read by independent programs, and the rules of every cue."""

import json
import re
from html import unescape

import numpy as np
import pysubs2
import pytest
import webvtt
from conftest import OZ
from fakes import SpoilingEngine, ToneEngine, speaking_with
from hypothesis import given
from hypothesis import strategies as st
from test_book_files import TITLES, document

from chatter_nb.audio.reading import read_audio
from chatter_nb.base.errors import ParamError
from chatter_nb.engines.models import get_or_load_tts_model
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.edits import text_hash
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.record import ChunkRecord
from chatter_nb.runs.revise import audacity_labels, load_speech
from chatter_nb.runs.subtitles import ESTIMATED, LINE_CHARS, cues, written

BOTH = ["srt", "vtt"]


def read_srt(path):
    """The cues of a file as pysubs2 reads it: (start in ms, end in ms, text)."""
    return [(cue.start, cue.end, cue.plaintext) for cue in pysubs2.load(str(path))]


def read_vtt(path):
    """The cues of a file as webvtt reads it."""
    return [(*map(in_ms, (cue.start, cue.end)), cue.text) for cue in webvtt.read(path)]


def in_ms(clock):
    hours, minutes, seconds = clock.split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000 + round(1000 * float(seconds))


def check_rules(found, *, least_ms=1000):
    """The limits of length and time, which hold for any cues."""
    for at, (start_ms, end_ms, text) in enumerate(found):
        lines = text.split("\n")
        assert 1 <= len(lines) <= 2
        assert all(0 < len(line) <= LINE_CHARS and line == line.strip() for line in lines)
        assert start_ms < end_ms <= start_ms + 7000
        following_ms = found[at + 1][0] if at + 1 < len(found) else None
        assert following_ms is None or end_ms <= following_ms
        assert end_ms - start_ms >= least_ms or end_ms == following_ms


def words_in(text):
    """The words in a line; a dash parts words, whether a space follows or not."""
    return " ".join(text.replace("—", "— ").split())


def test_a_run_writes_files_that_other_programs_read(speak):
    """Every word of the text once and in order, at its time; srt and vtt say the same."""
    text = OZ.read_text(encoding="utf-8")[:3000] + ' “No.” “Yes!” 3 < 5 &amp; "AT&T" > 5 — so.'
    speech = speak(text=text, formats=["mp3"], subtitles=BOTH)
    found = read_srt(speech.folder / "speech.srt")
    check_rules(found)
    shown = "".join(chunk.text for chunk in speech.record.chunks)
    assert words_in(" ".join(text for _, _, text in found)) == words_in(shown)
    plain = [
        (start, end, unescape(text)) for start, end, text in read_vtt(speech.folder / "speech.vtt")
    ]
    assert plain == found
    assert "3 &lt; 5 &amp;amp; " in (speech.folder / "speech.vtt").read_text(encoding="utf-8")
    words = json.loads((speech.folder / "speech.words.json").read_text(encoding="utf-8"))
    starts_ms = {round(1000 * word["start_s"]) for word in words}
    assert all(start_ms in starts_ms for start_ms, _, _ in found)
    assert speech.record.warnings == ()


def test_sentences_are_not_mixed_where_they_fit_alone(speak):
    """One that is over in less than a second shares a cue with the next."""
    text = "It was a warm day, and nobody was about. No. The heron stood beside the road."
    speech = speak(text=text, subtitles=["srt"])
    assert [text for _, _, text in read_srt(speech.folder / "speech.srt")] == [
        "It was a warm day, and nobody was about.",
        "No. The heron stood beside the road.",
    ]


def test_they_are_recorded_proved_and_removed_like_words(speak):
    once = speak(text="One, two.\n\nThree.", subtitles="vtt, srt")
    names = ["speech.words.json", "speech.vtt", "speech.srt"]
    assert [file.name for file in once.record.word_files] == names
    assert [path.name for path in once.files] == ["speech.wav"]
    assert f"{', '.join(['speech.wav', *names])}, run.json" in str(once)
    contents = [(once.folder / name).read_bytes() for name in names]
    again = speak(text="One, two.\n\nThree.", subtitles=["vtt", "srt"])
    assert again.record.model_calls == 0
    assert [(once.folder / name).read_bytes() for name in names] == contents
    (once.folder / "speech.srt").write_text("")
    assert not RunFolder(once.folder).is_proved()
    speak(text="One, two.\n\nThree.", formats=["flac"])
    left = {path.name for path in once.folder.iterdir()}
    assert left == {"speech.wav", "speech.flac", "speech.words.json", "run.json"}


def test_a_chapter_has_files_of_its_own_and_no_cue_spans_two(speak, tmp_path):
    book = document(tmp_path)
    parts = speak(text="", text_file=str(book), split="chapter", subtitles=["srt"])
    stems = [path.stem for path in parts.files]
    assert len(stems) == 3
    for stem, title in zip(stems, TITLES, strict=True):
        found = read_srt(parts.folder / f"{stem}.srt")
        check_rules(found)
        assert words_in(" ".join(text for _, _, text in found)).startswith(title)
        assert found[0][0] < 100
        assert words_in(found[-1][2]).endswith("nobody was about.")
    whole = speak(text="", text_file=str(book), subtitles=["srt"], run_name="whole")
    found = read_srt(whole.folder / "speech.srt")
    check_rules(found)
    heads = [start_ms / 1000 for start_ms, _, text in found if text in (*TITLES, "3.")]
    assert heads == pytest.approx([c.start_s for c in whole.record.chapters], abs=0.05)


def onsets_after_pauses_s(path, starts_s):
    """When sound begins, near each of these times, after at least 100 ms of silence."""
    samples, rate = read_audio(path)
    level = np.abs(samples) > np.abs(samples).max() * 10 ** (-40 / 20)
    for start_s in starts_s:
        at = max(0, round((start_s - 0.1) * rate))
        yield (at + np.flatnonzero(level[at:])[0]) / rate


@pytest.mark.parametrize(
    ("formats", "master"), [(["m4b", "mp3"], "acx"), (["mp3", "m4b"], "acx"), (["opus"], "r128")]
)
def test_times_are_those_of_the_mastered_file(formats, master, speak, tmp_path):
    """Speech begins where words and cues say, to the last chapter; chapters are at their marks."""
    book = document(tmp_path, "It was a warm day. They all went home. Later it rained.")
    speech = speak(
        text="", text_file=str(book), formats=formats, master=master, chunk_chars=30, subtitles=BOTH
    )
    record, path = speech.record, speech.folder / f"speech.{formats[0]}"
    words = json.loads((speech.folder / "speech.words.json").read_text(encoding="utf-8"))
    first_s = {word["chunk"]: word["start_s"] for word in reversed(words)}
    assert len(first_s) == len(record.chunks) == 12
    heard_s = list(onsets_after_pauses_s(path, first_s.values()))
    assert heard_s == pytest.approx(list(first_s.values()), abs=0.05)
    cue_starts_s = [start_ms / 1000 for start_ms, _, _ in read_srt(speech.folder / "speech.srt")]
    for start_s in first_s.values():
        assert min(abs(cue_s - start_s) for cue_s in cue_starts_s) < 0.001
    for chunk in record.chunks:
        assert chunk.start_s <= first_s[chunk.index] <= chunk.end_s
    own = [report for report in record.loudness if report.file == path.name]
    assert [c.start_s for c in record.chapters] == [report.start_s for report in own]
    samples, rate = read_audio(path)
    assert record.audio_s == pytest.approx(len(samples) / rate, abs=0.02)
    seams_s = [seam / record.sample_rate for seam in record.seams_samples]
    ends_s = [chunk.end_s for chunk in record.chunks[:-1]]
    assert seams_s == pytest.approx(ends_s, abs=1e-4)


def test_files_of_chapters_are_mastered_each_with_its_own_clock(speak, tmp_path):
    """In each of them times begin with the silence before it; so do labels for Audacity."""
    book = document(tmp_path)
    values = {"text": "", "text_file": str(book), "formats": ["mp3"], "split": "chapter"}
    speech = speak(**values, master="acx", subtitles=["srt"])
    flagged = [
        {
            "document": chunk.document,
            "start": chunk.start,
            "end": chunk.end,
            "text_sha256": text_hash(chunk.text),
            "flag": True,
        }
        for chunk in speech.record.chunks
    ]
    (speech.folder / "edits.json").write_text(json.dumps({"schema": 1, "edits": flagged}))
    speech = load_speech(speech.folder)
    for output, path in zip(speech.record.outputs, speech.files, strict=True):
        labels = audacity_labels(speech, output.name).splitlines()
        starts_s = [float(label.split("\t")[0]) for label in labels]
        assert len(starts_s) == output.chunks == 2
        assert list(onsets_after_pauses_s(path, starts_s)) == pytest.approx(starts_s, abs=0.06)
        found = read_srt(speech.folder / f"{path.stem}.srt")
        assert found[0][0] / 1000 == pytest.approx(starts_s[0], abs=0.06)


def test_other_formats_of_a_mastered_run_stay(speak, tmp_path):
    """Times follow the first format, but audio in another one is the same."""
    values = {"text": "Two herons stood beside the road.", "master": "podcast"}
    speak(**values, formats=["mp3"])
    both = speak(**values, formats=["m4b"], subtitles=["srt"])
    assert {path.name for path in both.files} == {"speech.m4b", "speech.mp3"}


def test_without_word_times_they_are_estimated_and_the_run_says_so(speak):
    engine = SpoilingEngine(get_or_load_tts_model("hibari"), knows_words=False)
    text = "Two herons stood beside the road. They waited for the rain, which came late that year."
    with speaking_with(engine):
        speech = speak(text=text, subtitles=BOTH)
    assert [warning for warning in speech.record.warnings if "subtitles" in warning] == [ESTIMATED]
    assert "NOTE" in (speech.folder / "speech.vtt").read_text(encoding="utf-8")
    found = read_srt(speech.folder / "speech.srt")
    assert read_vtt(speech.folder / "speech.vtt") == found
    check_rules(found)
    (chunk,) = speech.record.chunks
    share = text.index("They") / len(text)
    assert found[1][0] / 1000 == pytest.approx(
        chunk.start_s + share * (chunk.end_s - chunk.start_s), abs=0.05
    )


def test_an_edited_line_shows_the_text_and_not_what_is_spoken(speak, tmp_path):
    before = speak(text="Siobhan came home. It was late.", chunk_chars=20, subtitles=["srt"])
    chunk = before.record.chunks[0]
    edit = {"document": chunk.document, "start": chunk.start, "end": chunk.end}
    edit |= {"text_sha256": text_hash(chunk.text), "words": "Shivawn came home."}
    (tmp_path / "e.json").write_text(json.dumps({"schema": 1, "edits": [edit]}))
    after = speak(
        text="Siobhan came home. It was late.",
        chunk_chars=20,
        subtitles=["srt"],
        edits=str(tmp_path / "e.json"),
    )
    assert after.record.chunks[0].text.strip() == "Shivawn came home."
    found = read_srt(after.folder / "speech.srt")
    assert [text for _, _, text in found] == ["Siobhan came home.", "It was late."]


def test_an_engine_of_another_language(speak):
    """Chinese has no spaces: it is cut between characters, where clauses end if possible."""
    engine = ToneEngine()
    engine.languages = ("zh",)
    text = (
        "我们今天去公园散步，看到了很多美丽的花，也遇到了几位老朋友，大家一起聊了很久才回家。" * 3
    )
    with speaking_with(engine):
        speech = speak(text=text, subtitles=["srt"])
    found = read_srt(speech.folder / "speech.srt")
    check_rules(found)
    assert "".join(text for _, _, text in found).replace("\n", "") == text


def test_a_format_that_does_not_exist_is_refused():
    with pytest.raises(ParamError, match=r"subtitles.*'srt' or 'vtt'"):
        SpeakParams.create({"text": "Hello.", "subtitles": ["ass"]})


def chunk_of(index, text, start_s, end_s):
    more = {"pause_ms": 0, "seed": 0, "take": 0, "attempts": 1, "cached": False, "key": "ab"}
    return ChunkRecord(index=index, text=text, start_s=start_s, end_s=end_s, **more)


WORD = st.text("abcdeßé’&<>-", min_size=1, max_size=20).filter(lambda word: word[0].isalpha())
MARK = st.sampled_from(["", "", "", ",", ";", ".", "?", "!", " —"])
TEXT = st.lists(st.tuples(WORD, MARK), min_size=1, max_size=60).map(
    lambda pairs: " ".join(word + mark for word, mark in pairs)
)


@given(st.lists(st.tuples(TEXT, st.booleans()), min_size=1, max_size=4), st.floats(4, 40))
def test_the_rules_hold_for_any_text(texts, pace):
    """Every word once and in order, lengths, times, no overlap; with words' times and without."""
    chunks, at_s = [], 0.3
    for index, (text, is_timed) in enumerate(texts):
        words = []
        starts_s = [at_s + match.start() / pace for match in re.finditer(r"\S+", text)]
        for match, start_s in zip(re.finditer(r"\S+", text), starts_s, strict=True):
            end_s = start_s + len(match[0]) / pace
            words.append({"word": match[0], "start_s": start_s, "end_s": end_s})
        end_s = at_s + len(text) / pace
        chunk = chunk_of(index, text + " ", at_s, end_s)
        chunks.append(([chunk], words if is_timed else None))
        at_s = end_s + 0.25
    found = [(start, end, "\n".join(lines)) for start, end, lines in cues(chunks, "en")]
    check_rules(found)
    assert " ".join(words_in(text) for _, _, text in found) == " ".join(text for text, _ in texts)
    assert found[0][0] >= 300
    assert found[-1][1] <= max(1000 * at_s, found[-1][0] + 1000)


@given(st.text("我们今天去公园花，。、「」かなカナー", min_size=1, max_size=300))
def test_the_rules_hold_without_spaces(text):
    chunk = chunk_of(0, text, 0.0, len(text) / 4)
    found = [(start, end, "\n".join(lines)) for start, end, lines in cues([([chunk], None)], "zh")]
    check_rules(found)
    assert "".join(text for _, _, text in found).replace("\n", "") == text


def test_a_word_longer_than_a_line_is_divided():
    """As an address is: it has no place for a break, and a line has 42 characters."""
    text = "See https://example.org/" + "a" * 60 + " now."
    found = [lines for _, _, lines in cues([([chunk_of(0, text, 0, 6)], None)], "en")]
    assert all(len(line) <= LINE_CHARS for lines in found for line in lines)
    assert "".join(line for lines in found for line in lines).replace(" ", "") == text.replace(
        " ", ""
    )


def test_a_file_is_written_to_the_letter():
    found = [(3_661_002, 3_662_500, ["a < b & c", "d"]), (90_000_000, 90_001_000, ["e"])]
    assert "".join(written(".srt", found, True)) == (
        "1\n01:01:01,002 --> 01:01:02,500\na < b & c\nd\n\n2\n25:00:00,000 --> 25:00:01,000\ne\n\n"
    )
    assert "".join(written(".vtt", found[:1], False)) == (
        f"WEBVTT\n\nNOTE {ESTIMATED}\n\n1\n01:01:01.002 --> 01:01:02.500\na &lt; b &amp; c\nd\n\n"
    )
