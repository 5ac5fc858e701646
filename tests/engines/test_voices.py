"""Voices: found by name, checked with figures, listed."""

import json

import media
import numpy as np
import pytest
import soundfile
from conftest import ROOT

from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.engines.voices import Library, check_recording, content_hash, library_of, measure
from chatter_nb.params.runs import SpeakParams

RATE = 24_000
TARGET = ROOT / "params" / "recordings" / "target.flac"


def speech(seconds: float = 6.0) -> np.ndarray:
    signal, _ = soundfile.read(TARGET, dtype="float32")
    return signal[: round(seconds * RATE)]


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def noise(seconds: float, level: float) -> np.ndarray:
    draw = np.random.default_rng(0).normal(0, level, round(seconds * RATE))
    return draw.astype(np.float32)


def hum(seconds: float) -> np.ndarray:
    wave = 0.2 * np.sin(2 * np.pi * 50 * np.arange(round(seconds * RATE)) / RATE)
    return wave.astype(np.float32)


@pytest.fixture
def library(tmp_path):
    (tmp_path / "voices").mkdir()
    for name in ("anna.wav", "ben.flac"):
        soundfile.write(tmp_path / "voices" / name, speech(), RATE)
    return Library(tmp_path / "voices", tmp_path / "cache")


def test_a_voice_is_found_by_name_and_by_path(library):
    assert library.names() == ["anna", "ben"]
    assert library.find("anna").name == "anna.wav"
    assert library.find("ben.flac").name == "ben.flac"
    assert library.find("params/recordings/target.flac") == TARGET


def test_an_unknown_voice_comes_with_those_there_are(library):
    with pytest.raises(ParamError, match=r"'ana' is neither .* did you mean 'anna'\? .* anna, ben"):
        library.find("ana")


def test_two_voices_of_one_name_are_told_apart_by_their_files(library):
    soundfile.write(library.folder / "anna.flac", speech(), RATE)
    with pytest.raises(ParamError, match=r"'anna' is ambiguous: anna\.flac, anna\.wav"):
        library.find("anna")
    assert library.find("anna.wav").name == "anna.wav"


def test_the_library_is_voices_under_the_outputs_or_a_folder_of_ones_own(tmp_path):
    params = SpeakParams(text="Hi.", outputs_dir=str(tmp_path))
    assert library_of(params) == Library(tmp_path / "voices", tmp_path / ".voices")
    own = SpeakParams(text="Hi.", outputs_dir=str(tmp_path), voices_dir="params/recordings")
    assert library_of(own).names() == ["reading", "target"]


def test_a_recordings_content_names_it_whatever_its_file_is_called(library):
    one, other = library.recording("anna"), library.recording(str(library.folder / "anna.wav"))
    assert one.content_hash == other.content_hash != library.recording("ben").content_hash


@pytest.mark.parametrize(
    ("signal", "told"),
    [
        (speech(0.4), r"0\.40 s long; at least 3 s"),
        (speech(2.99), r"2\.99 s long; at least 3 s"),
        (np.zeros(RATE * 6, np.float32), "silent"),
        (speech() * 1e-4, r"silent \(its peak is -8\d dB"),
    ],
)
def test_what_cannot_serve_is_refused_with_the_figure(signal, told):
    with pytest.raises(InputError, match=told):
        check_recording(signal, RATE, where="voice x")


@pytest.mark.parametrize(
    ("signal", "told"),
    [
        (speech() * 0.02, r"quiet \(-\d\d dB\)"),
        (np.clip(speech() * 30, -1, 1), r"clipped \(\d+\.\d% of samples"),
        (np.concatenate([silence(3.5), speech(1.5)]), r"\d\d% of it is silence"),
        (
            np.concatenate([silence(12), speech()]),
            "100% of the first 6 s, which .* is silence: cut",
        ),
        (
            np.concatenate([noise(12, 0.01), speech()]),
            "in the first 6 s, which .* no speech .*: cut",
        ),
        (np.concatenate([hum(12), speech()]), "no speech is heard: cut off what is before"),
        (noise(4, 0.1), "nothing in it rises above a steady noise: no speech is heard$"),
    ],
)
def test_what_will_sound_worse_is_noted_with_the_figure(signal, told):
    import re

    (note,) = check_recording(signal, RATE, where="voice x")
    assert re.search(told, note), note


def test_only_the_seconds_that_the_model_hears_are_judged():
    """Silence, noise or clipping after them is none of its business; another model hears more."""
    for after in (silence(20), noise(20, 0.01), np.ones(RATE * 20, np.float32)):
        assert check_recording(np.concatenate([speech(), after]), RATE, where="x") == []
    late = np.concatenate([silence(8), speech(10)])
    assert check_recording(late, RATE, where="x", heard_s=30) == []
    assert check_recording(late, RATE, where="x", heard_s=10) != []


def test_speech_in_noise_as_loud_as_itself_is_speech():
    level = float(np.sqrt(np.mean(speech() ** 2))) * 10 ** (-3 / 20)
    assert check_recording(speech() + noise(6, level), RATE, where="x") == []


def test_opposite_channels_are_a_voice_and_it_is_told(library):
    """Mixed they are silence. What is taken is part of the voice's key; others keep theirs."""
    soundfile.write(library.folder / "eve.wav", np.stack([speech(), -speech()], axis=1), RATE)
    eve, anna = library.recording("eve"), library.recording("anna")
    assert eve.notes == (
        "voice eve.wav: its channels cancel each other (one is another upside down): channel 1 "
        "alone is taken",
    )
    assert np.abs(eve.signal - speech()).max() < 1e-4
    assert eve.content_hash == f"{content_hash(eve.path)}-channel1"
    assert anna.content_hash == content_hash(anna.path)


def test_a_phones_recording_is_a_voice(library):
    media.write(library.folder / "mum.m4a", speech(), RATE, "aac")
    mum = library.recording("mum")
    assert (mum.notes, mum.content_hash) == ((), content_hash(mum.path))
    assert len(mum.signal) / mum.sample_rate == pytest.approx(6, abs=0.05)


def test_a_good_recording_has_no_notes_and_true_figures():
    signal = speech()
    assert check_recording(signal, RATE, where="x") == []
    found = measure(signal, RATE)
    assert found.duration_s == 6
    assert found.peak_db == pytest.approx(20 * np.log10(np.abs(signal).max()), abs=0.01)


def test_the_command_lists_voices_with_what_is_wrong(cli, library):
    (library.folder / "broken.wav").write_bytes(b"no audio")
    soundfile.write(library.folder / "short.wav", speech(1), RATE)
    done = cli("voices", "--dir", library.folder, check=0)
    assert "anna                    6.0 s, -2" in done.stdout
    assert "cannot be used: cannot read recording" in done.stdout
    assert "1.00 s long; at least 3 s" in done.stdout
    found = json.loads(cli("voices", "--dir", library.folder, "--json", check=0).stdout)
    assert [voice["name"] for voice in found] == ["anna", "ben", "broken", "short"]


def test_hidden_files_and_folders_are_no_voices(library):
    (library.folder / "._anna.wav").write_bytes(b"as macOS leaves them")
    (library.folder / "folder.wav").mkdir()
    assert library.names() == ["anna", "ben"]


def test_an_empty_library_says_what_to_put_there(cli, tmp_path):
    assert "put recordings of 6 to 15 s there" in cli("voices", "--dir", tmp_path, check=0).stdout
