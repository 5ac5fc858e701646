"""Several speakers in one text: their voices, keys, levels, and what is told of them."""

import json
import shutil
from importlib.resources import files
from itertools import pairwise

import numpy as np
import pyloudnorm
import pytest
import soundfile
from conftest import ROOT

from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.engines.hibari import HibariEngine
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.content import content_digest
from chatter_nb.runs.edits import edit_of, save_edits
from chatter_nb.runs.levels import in_windows
from chatter_nb.runs.revise import apply_edits, make_line
from chatter_nb.runs.speak import generate_tts, plan_speech

SCENE = """\
The Wolf and the Lamb

"Good morning to you," said the Lamb. "The water is very cold today."

"You have made it muddy," the Wolf said, and he came a little nearer to the bank.

[Lamb, afraid] How could I do that, since the stream runs down from you to me?

[voice: emma] Somebody else has seen all of this from behind the old willow tree.

"Whatever you say, you are wrong, and I am hungry," said the Wolf. Then nobody spoke any more.
"""
CAST = {
    "Lamb": {"voice": "kore", "pronoun": "she"},
    "Wolf": {"voice": "fenrir", "speed": 0.9, "pronoun": "he"},
}
MOODS = {"afraid": {"speed": 1.2}}


@pytest.fixture(autouse=True)
def voices(tmp_path, monkeypatch):
    """hibari's other voices, which are downloads: here the one that its package has."""
    folder = tmp_path / "hibari"
    folder.mkdir()
    assets = files("hibari") / "assets"
    for voice in json.loads((assets / "voices.json").read_text()).values():
        if not voice["bundled"]:
            shutil.copy(assets / "hibari.onnx", folder / voice["file"])
    monkeypatch.setenv("HIBARI_HOME", str(folder))


@pytest.fixture
def scene(tmp_path):
    def values(**more):
        base = {"text": SCENE, "engine": "hibari", "cast": CAST, "moods": MOODS}
        base |= {"quotes": "attributed", "outputs_dir": str(tmp_path / "runs"), "run_name": "scene"}
        return SpeakParams(**{**base, **more})

    return values


def said_by(record):
    return [(chunk.speaker, chunk.mood, chunk.text.strip()) for chunk in record.chunks]


def test_each_speaker_has_a_voice_and_the_text_is_whole(scene):
    params = scene()
    speech = generate_tts(params)
    record = speech.record
    lines = said_by(record)
    assert ("Lamb", "", '"Good morning to you,"') in lines
    assert ("Wolf", "", '"You have made it muddy,"') in lines
    assert ("", "", "said the Lamb.") in lines
    assert [mood for speaker, mood, text in lines if "stream runs" in text] == ["afraid"]
    assert [speaker for speaker, _, text in lines if "willow" in text] == ["emma"]
    shown = SCENE.replace("[Lamb, afraid] ", "").replace("[voice: emma] ", "")
    assert "".join(chunk.text for chunk in record.chunks) == " ".join(shown.split())
    of = {(s.name, s.mood): s.voice for s in record.speakers}
    assert of["", ""] == "heart"
    assert of["Lamb", ""] == of["Lamb", "afraid"] == "kore"
    assert (of["Wolf", ""], of["emma", ""]) == ("fenrir", "emma")
    reasons = {chunk.reason for chunk in record.chunks if chunk.speaker == "Wolf"}
    assert any("Wolf" in reason for reason in reasons)
    assert "speakers: " in str(plan_speech(params))


def test_pauses_are_longer_between_people_than_around_the_narrator(scene):
    text = 'Lamb: One is here.\nWolf: Two is here.\n\n"Three," said Wolf. "Four is here."'
    chunks = [planned.chunk for planned in plan_speech(scene(text=text)).chunks]
    assert [chunk.speaker for chunk in chunks] == ["Lamb", "Wolf", "Wolf", "", "Wolf"]
    assert [chunk.pause_ms for chunk in chunks] == [500, 600, 125, 250, 0]


def test_a_new_voice_remakes_only_its_own_chunks(scene):
    first = generate_tts(scene()).record
    other = {**CAST, "Wolf": {**CAST["Wolf"], "speed": 1.1}}
    second = generate_tts(scene(cast=other)).record
    for before, after in zip(first.chunks, second.chunks, strict=True):
        assert (before.key != after.key) == (after.speaker == "Wolf")
        assert after.cached == (after.speaker != "Wolf")


def test_what_nobody_says_has_the_keys_of_a_text_without_a_cast(scene):
    plain = plan_speech(
        scene(text="A line.\n\nAnother line.", cast={}, moods={}, quotes="narrator")
    )
    with_cast = plan_speech(scene(text="A line.\n\nAnother line."))
    assert [c.key for c in plain.chunks] == [c.key for c in with_cast.chunks]


def test_all_voices_have_one_level(scene, monkeypatch):
    real = HibariEngine.synthesize

    def softer(self, requests, **options):
        """As `real`, but voices differ by up to 16 dB."""
        shares = {"kore": 0.3, "fenrir": 0.7, "emma": 0.15}
        voices = {request.index: request.voice.name for request in requests}
        for index, audio, info in real(self, requests, **options):
            yield index, audio * np.float32(shares.get(voices[index], 1.0)), info

    monkeypatch.setattr(HibariEngine, "synthesize", softer)
    speech = generate_tts(scene())
    audio, rate = soundfile.read(speech.files[0])
    levels = {}
    for chunk in speech.record.chunks:
        part = audio[round(chunk.start_s * rate) : round(chunk.end_s * rate)]
        levels.setdefault(chunk.speaker, []).append(part)
    meter = pyloudnorm.Meter(rate)
    lufs = {who: meter.integrated_loudness(np.concatenate(p)) for who, p in levels.items()}
    assert max(lufs.values()) - min(lufs.values()) < 1, lufs
    assert np.abs(audio).max() < 1
    gains_db = {s.name: s.gain_db for s in speech.record.speakers}
    assert gains_db["emma"] - gains_db[""] == pytest.approx(16.5, abs=1.5)


def test_a_gain_of_ones_own_comes_on_top(scene):
    louder = {**CAST, "Wolf": {**CAST["Wolf"], "gain_db": -6.0}}
    gains_db = [
        {(s.name, s.mood): s.gain_db for s in generate_tts(scene(cast=cast)).record.speakers}
        for cast in (CAST, louder)
    ]
    assert gains_db[1]["Wolf", ""] == pytest.approx(gains_db[0]["Wolf", ""] - 6, abs=0.01)
    assert gains_db[1]["Lamb", ""] == gains_db[0]["Lamb", ""]


def test_what_is_unsure_is_the_narrators_and_is_listed(scene):
    text = 'They met.\n\n"It is late," said her brother.\n\n"So it is," said the Wolf.'
    plan = plan_speech(scene(text=text))
    [unsure] = plan.unsure
    shown = "".join(planned.chunk.text for planned in plan.chunks)
    assert shown[unsure.start : unsure.end] == unsure.text == '"It is late,"'
    assert unsure.reason
    assert any("1 quote left to the narrator" in note for note in plan.warnings)
    assert generate_tts(scene(text=text)).record.unsure == plan.unsure


def test_labels_of_a_file_win(scene, tmp_path):
    text = 'They met.\n\n"It is late," said her brother.\n\n[Wolf] I am the wolf.'
    shown = 'They met. "It is late," said her brother. I am the wolf.'
    start = shown.index('"It is')
    labels = tmp_path / "labels.jsonl"
    labels.write_text(json.dumps({"start": start, "end": start + 13, "speaker": "lamb"}) + "\n")
    plan = plan_speech(scene(text=text, labels=str(labels)))
    assert [(c.chunk.speaker, c.chunk.text) for c in plan.chunks] == [
        ("", "They met. "),
        ("Lamb", '"It is late," '),
        ("", "said her brother. "),
        ("Wolf", "I am the wolf."),
    ]
    assert not plan.unsure
    before = content_digest(plan.params)
    labels.write_text(json.dumps({"start": start, "end": start + 5, "speaker": "lamb"}) + "\n")
    with pytest.raises(InputError, match=r"is inside a word, .*It i\|s late"):
        plan_speech(plan.params)
    labels.write_text(json.dumps({"start": 0, "end": 9, "speaker": "Nobody"}) + "\n")
    assert content_digest(plan.params) != before
    with pytest.raises(InputError, match=r"'Nobody' is not in the cast \(Lamb, Wolf\)"):
        plan_speech(plan.params)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"text": "[Lanb] Good morning."}, "did you mean Lamb"),
        ({"text": "[Lamb, glad] Good morning."}, r"mood 'glad' is not in moods \(afraid\)"),
        ({"cast": {"Lamb": {"exaggeration": 0.7}}}, "cast: Lamb: engine 'hibari' .* exaggeration"),
        ({"cast": {"Lamb": "nobody"}}, "cast: Lamb: .*nobody"),
        ({"cast": {"Lamb": {"language": "de"}}}, "cast: Lamb: .*does not speak language 'de'"),
        ({"narrator": "nobody"}, "narrator: .*no voice 'nobody'"),
        ({"cast": {"Lamb": {"alias": "x"}}}, "cast.Lamb: unknown .*did you mean 'aliases'"),
        ({"moods": {"afraid": 1.2}}, "moods.afraid: should be {name: value} with names of: speed"),
        ({"cast": {"Lamb": {"aliases": ["ox"]}, "Ox": "kore"}}, "name of both 'Lamb' and 'Ox'"),
        ({"text": "[voice: nobody] Good morning."}, r"\[voice: nobody\]: .*no voice 'nobody'"),
    ],
)
def test_slips_are_refused_with_the_cure(scene, more, message):
    with pytest.raises(ParamError, match=message):
        plan_speech(scene(**more))


def test_names_that_are_no_marks_and_members_who_are_silent_are_told(scene):
    plan = plan_speech(scene(text="Bob: Hello there.\n\n[Lamb] Good morning."))
    assert any(note.startswith("Bob:: read as text; marks are [Name]") for note in plan.warnings)
    assert any("cast: nothing is said by Wolf" in note for note in plan.warnings)


def test_the_narrator_may_have_a_voice_or_a_place_in_the_cast(scene):
    own = {(s.name): s.voice for s in generate_tts(scene(narrator="fable")).record.speakers}
    assert own[""] == "fable"
    cast = {**CAST, "Teller": {"voice": "fable", "speed": 0.8}}
    plan = plan_speech(scene(cast=cast, narrator="teller"))
    assert plan.roles["", ""].params.speed == 0.8
    assert "voice fable" in str(plan)


def test_a_line_made_again_keeps_its_speaker(scene):
    speech = generate_tts(scene())
    chunk = next(c for c in speech.record.chunks if c.speaker == "Wolf")
    edit = edit_of(chunk).model_copy(update={"words": '"You have made it dirty,"'})
    line = make_line(speech, edit)
    save_edits(speech.folder, [edit])
    revised = apply_edits(speech).record
    changed = [c for c in revised.chunks if not c.cached]
    assert [c.speaker for c in revised.chunks] == [c.speaker for c in speech.record.chunks]
    assert changed == []  # it was made already
    assert line.key in {c.key for c in revised.chunks if c.speaker == "Wolf"}


def test_windows_tile_the_chunks():
    positions = list(range(3, 1000))
    windows = list(in_windows(positions, 2))
    assert [at for window in windows for at in window] == positions
    assert max(map(len, windows)) == 256
    assert all(len(a) <= len(b) for a, b in pairwise(windows[:-1]))
    assert list(in_windows(positions, 1)) == [positions]


@pytest.mark.parametrize("model", ["chatterbox", "chatterbox-multilingual"])
def test_chatterbox_speaks_with_several_voices_and_languages(tiny, tmp_path, own_models, model):
    """Each chunk is what it is alone with its voice: chunks of a voice are made together."""
    pytest.importorskip("chatterbox", reason="needs chatterbox-tts")
    recordings = ROOT / "params" / "recordings"
    other = {"language": "de"} if model == "chatterbox-multilingual" else {}
    one, two = "A new paragraph begins, and ends here.", "The first one is of no great length."
    three, four = "The second one is a little longer than that.", "Here is another sentence."
    text = f"{one}\n\n[A] {two}\n\n[B] {three}\n\n[A] {four}"
    base = {"engine": model, "checkpoint": str(tiny(model)), "device": "cpu", "verify": "off"}
    base |= {"voice": str(recordings / "target.flac"), "n_cfm_timesteps": 1}
    cast = {"A": str(recordings / "reading.flac"), "B": {"exaggeration": 0.9, **other}}
    speech = generate_tts(
        SpeakParams(text=text, cast=cast, outputs_dir=str(tmp_path / "a"), **base)
    )
    assert [c.speaker for c in speech.record.chunks] == ["", "A", "B", "A"]
    alone = base | {"voice": cast["A"]}
    voices = {
        "A": alone,
        "B": base | {"exaggeration": 0.9, **other},
        "": base,
    }
    for chunk in speech.record.chunks:
        values = voices[chunk.speaker] | {"outputs_dir": str(tmp_path / "b")}
        single = plan_speech(SpeakParams(text=chunk.text.strip(), **values))
        assert [planned.key for planned in single.chunks] == [chunk.key]


def test_an_edit_leaves_the_level_of_all_other_lines(scene):
    """The gains are the run's: its first seconds, which are measured, may be what was edited."""
    speech = generate_tts(scene(formats=("wav",)))
    before, rate = soundfile.read(speech.files[0])
    chunk = speech.record.chunks[0]
    edit = edit_of(chunk).model_copy(update={"words": "Yes!"})
    save_edits(speech.folder, [edit])
    revised = apply_edits(speech)
    after, _ = soundfile.read(revised.files[0])
    assert revised.record.speakers == speech.record.speakers
    last = round((speech.record.chunks[-1].end_s - speech.record.chunks[-1].start_s) * rate)
    assert np.array_equal(before[-last:], after[-last:])


def test_one_quote_of_nobody_is_in_the_record_without_other_speakers(scene):
    text = 'They met.\n\n"It is late," said her brother.'
    assert len(generate_tts(scene(text=text)).record.unsure) == 1
