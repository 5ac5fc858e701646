"""The conversion of a dialogue: one speaker gets another voice, the others keep every sample."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from conftest import ROOT

from chatter_nb.base.errors import InputError
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.content import run_key
from chatter_nb.runs.convert import convert_voice, plan_conversion
from chatter_nb.runs.convert_cast import lay, place_s
from chatter_nb.runs.record import StretchRecord
from chatter_nb.runs.speak import generate_tts

RECORDINGS = ROOT / "params" / "recordings"
TEXT = """It was late.

Anna: Who is there? It is late, and I was asleep.

Ben: It is only me.

Anna: Come in, then, and close the door.

So he came in, and sat down.
"""
CAST = {"Anna": {"speed": 1.15}, "Ben": {"speed": 0.9}}


@pytest.fixture(scope="module")
def dialogue(tmp_path_factory):
    """A dialogue of two and a narrator, as WAV and MP3."""
    values = {"text": TEXT, "engine": "hibari", "cast": CAST, "formats": ("mp3", "wav")}
    outputs_dir = str(tmp_path_factory.mktemp("spoken"))
    return generate_tts(
        SpeakParams.create({**values, "outputs_dir": outputs_dir, "run_name": "two"})
    )


@pytest.fixture
def params(dialogue, tmp_path):
    def make(**values) -> ConvertParams:
        own = {"source": str(dialogue.folder / "run.json"), "engine": "world", "run_name": "run"}
        own |= {"cast": {"anna": str(RECORDINGS / "target.flac")}}
        return ConvertParams.create(own | {"outputs_dir": str(tmp_path / "out")} | values)

    return make


def samples(speech, name):
    return soundfile.read(speech.folder / name, dtype="int16")[0]


def spans(speech, speaker):
    """Where one speaks, in samples."""
    stretches = [s for s in speech.record.stretches if s.speaker == speaker]
    rate = speech.record.sample_rate
    return [slice(round(s.start_s * rate), round(s.end_s * rate)) for s in stretches]


def test_only_who_has_a_target_changes(dialogue, params):
    before = samples(dialogue, "speech.wav")
    speech = convert_voice(params())
    after = samples(speech, "converted.wav")
    assert len(after) == len(before)
    assert {(s.output, s.target) for s in speech.record.stretches} == {
        ("converted", None),
        ("converted", "target"),
    }
    assert [s.speaker for s in speech.record.stretches] == [
        "narrator",
        "Anna",
        "Ben",
        "Anna",
        "narrator",
    ]
    for who in ("narrator", "Ben"):
        for span in spans(speech, who):
            assert np.array_equal(before[span], after[span])
    for span in spans(speech, "Anna"):
        assert np.mean(before[span] != after[span]) > 0.5
    assert {window.speaker for window in speech.record.windows} == {"Anna"}
    (note,) = [note for note in speech.record.warnings if "stays as it is" in note]
    assert note.startswith("narrator, Ben: neither in cast nor a target")


def test_borders_are_silent_and_do_not_click(dialogue, params):
    """No step at a border is larger than the steps of speech around it."""
    speech = convert_voice(params(cast={name: str(RECORDINGS / "target.flac") for name in CAST}))
    audio = samples(speech, "converted.wav").astype(int)
    rate = speech.record.sample_rate
    assert len(speech.record.seams_samples) == 4
    loudest = np.abs(audio).max()
    for seam in speech.record.seams_samples:
        near = audio[seam - rate // 50 : seam + rate // 50]
        assert np.abs(near).max() < 0.01 * loudest
        assert np.abs(np.diff(near)).max() < 0.002 * loudest
    for chunk in dialogue.record.chunks:
        assert not any(chunk.start_s < s / rate < chunk.end_s for s in speech.record.seams_samples)


def test_another_target_makes_only_that_speaker_again(params):
    both = {"Anna": str(RECORDINGS / "target.flac"), "Ben": str(RECORDINGS / "reading.flac")}
    first = convert_voice(params(cast=both))
    assert [window.cached for window in first.record.windows] == [False, False]
    second = convert_voice(params(cast=both | {"Ben": both["Anna"]}))
    assert {w.speaker: w.cached for w in second.record.windows} == {"Anna": True, "Ben": False}


def test_target_converts_all_that_the_cast_does_not_name(dialogue, params):
    speech = convert_voice(
        params(target=str(RECORDINGS / "reading.flac"), source=str(dialogue.folder))
    )
    assert {window.speaker for window in speech.record.windows} == {"narrator", "Anna", "Ben"}
    assert not any("stays" in note for note in speech.record.warnings)
    whole = convert_voice(params(cast={}, target=str(RECORDINGS / "reading.flac"), run_name="all"))
    assert (len(whole.record.windows), whole.record.stretches) == (1, ())
    assert whole.record.outputs[0].source == "speech.wav"


def test_mistakes_are_told_before_the_work(dialogue, params, tmp_path):
    flat = {"text": "Hello.", "engine": "hibari", "outputs_dir": str(tmp_path), "run_name": "flat"}
    generate_tts(SpeakParams.create(flat))
    converted = convert_voice(params())
    cases = [
        ({"cast": {"Bel": "x"}}, "nobody in .*run.json is 'Bel': it has narrator, Anna, Ben"),
        ({"source": str(RECORDINGS / "reading.flac")}, "set source to its run.json"),
        (
            {"source": str(tmp_path / "flat" / "run.json")},
            "no speakers: speak it again with a cast",
        ),
        ({"source": str(converted.folder)}, "is no finished speech run"),
        ({"cast": {"Anna": "nobody"}}, "'nobody' is neither a file nor a name"),
    ]
    for values, told in cases:
        with pytest.raises(InputError, match=told):
            plan_conversion(params(**values))
    record = json.loads((dialogue.folder / "run.json").read_text(encoding="utf-8"))
    for chunk in record["chunks"]:  # as a run of an earlier version has written it
        del chunk["speaker"], chunk["mood"], chunk["reason"]
    old = tmp_path / "old"
    old.mkdir()
    (old / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError, match="no speakers: speak it again with a cast"):
        plan_conversion(params(source=str(old)))


def test_audio_that_is_not_the_runs_is_refused(dialogue, params, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "run.json").write_bytes((dialogue.folder / "run.json").read_bytes())
    soundfile.write(folder / "speech.wav", np.zeros(24_000), 24_000)
    with pytest.raises(InputError, match=r"speech\.wav is not as its run has left it"):
        plan_conversion(params(source=str(folder)))


def test_times_of_a_part_lie_in_its_stretches(dialogue, params):
    (output,) = plan_conversion(params()).outputs
    (part,) = output.parts
    first, second = part.stretches
    length_s = first.end_s - first.start_s
    assert place_s(0, part.stretches) == first.start_s
    assert place_s(length_s + 0.1, part.stretches) == pytest.approx(second.start_s + 0.1)
    assert place_s(99, part.stretches) == second.end_s


def test_a_converted_stretch_begins_and_ends_as_its_source():
    """So that a border in room tone does not click: no step is larger than the tone's own."""
    rate = 24_000
    tone = np.sin(np.arange(rate) * 0.05).astype(np.float32)
    stretches = [
        StretchRecord(output="x", speaker="Anna", target="", start_s=start, end_s=start + 0.2)
        for start in (0.1, 0.5)
    ]
    mixed = tone.copy()
    lay(mixed, np.tile(-0.3 * tone[:4_800], 2), stretches, rate)
    assert np.abs(np.diff(mixed)).max() < 1.2 * np.abs(np.diff(tone)).max()
    inside = np.zeros(rate, bool)
    for stretch in stretches:
        inside[round(stretch.start_s * rate) : round(stretch.end_s * rate)] = True
    assert np.array_equal(mixed[~inside], tone[~inside])
    assert np.array_equal(mixed[4_800:6_000], -0.3 * tone[2_400:3_600])


def test_an_engine_of_two_rates_keeps_length_and_sound(dialogue, params, tiny, own_models):
    """Chatterbox hears 16 kHz and makes 24 kHz; its watermark is on all that it hands over."""
    before = samples(dialogue, "speech.wav").astype(float)
    speech = convert_voice(params(engine="chatterbox", checkpoint=str(tiny())))
    after = samples(speech, "converted.wav").astype(float)
    assert len(after) == len(before)
    for span in spans(speech, "Ben"):
        assert np.corrcoef(before[span], after[span])[0, 1] > 0.9
    for span in spans(speech, "Anna"):
        assert abs(np.corrcoef(before[span], after[span])[0, 1]) < 0.5
    assert any(note.endswith("stays as it is, with a watermark") for note in speech.record.warnings)


def test_a_batch_knows_a_target_by_its_content(params, tmp_path):
    target = tmp_path / "target.flac"
    shutil.copy(ROOT / "params" / "recordings" / "target.flac", target)
    run = params(cast={"Wolf": str(target)})
    before = run_key("", run, "world", fetch=False)
    shutil.copy(ROOT / "params" / "recordings" / "reading.flac", target)
    assert run_key("", run, "world", fetch=False) != before
