"""Voices: found by name, checked with figures, listed."""

import json
import re

import media
import numpy as np
import pytest
import soundfile
from conftest import ROOT

from chatter_nb.audio.reading import resample
from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.engines.excerpt import keep_excerpt
from chatter_nb.engines.recordings import check_recording, measure, prepare
from chatter_nb.engines.registry import TTS_ENGINES
from chatter_nb.engines.voices import Library, content_hash, library_of
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


# -- mended where a fault is measured


def room(seconds: float, level: float = 0.002) -> np.ndarray:
    return noise(seconds, level)


def kept(library, name: str, signal: np.ndarray, rate: int = RATE):
    soundfile.write(library.folder / f"{name}.wav", signal, rate, subtype="FLOAT")
    return library.recording(name)


@pytest.mark.parametrize("name", ["reading.flac", "target.flac"])
def test_a_clean_recording_is_left_alone_and_keeps_its_key(name, library):
    """Whole, and cut anywhere: what was encoded and made with it is found again."""
    path = TARGET.with_name(name)
    found = library.recording(str(path))
    signal, rate = soundfile.read(path, dtype="float32")
    assert (found.notes, found.content_hash) == ((), content_hash(path))
    assert np.array_equal(found.signal, signal)
    for start_s in range(6):
        for length_s in (3, 4.5, 6):
            cut = signal[start_s * rate : round((start_s + length_s) * rate)]
            assert prepare(cut, rate).notes == (), (start_s, length_s)


@pytest.mark.parametrize(
    ("before_s", "after_s", "told"),
    [
        (4, 0, ["at its beginning"]),
        (0, 5, ["at its end"]),
        (2, 3, ["at its beginning", "at its end"]),
        (0.6, 0.6, []),
    ],
)
@pytest.mark.parametrize("level", [0.0, 0.002, 0.01])
def test_a_room_before_and_after_is_cut_off(before_s, after_s, told, level, library):
    """Silence, a quiet room, and one 20 dB below the speech; a click in it is no speech."""
    quiet = np.concatenate([silence(before_s), speech(5.2), silence(after_s)])
    signal = quiet + room(len(quiet) / RATE, level)
    signal[100:200] = 0.3
    voice = kept(library, "x", signal)
    assert [note.split("without speech ")[1] for note in voice.notes] == [
        f"{place} are left out" for place in told
    ]
    start_s = len(signal) / RATE - len(voice.signal) / RATE
    assert start_s == pytest.approx((before_s + after_s) if told else 0, abs=0.5)
    assert np.array_equal(soundfile.read(voice.path, dtype="float32")[0], signal)
    if told:
        first = round(start_s * RATE) if before_s and not after_s else 0
        key = voice.content_hash.removeprefix(content_hash(voice.path))
        assert key.startswith("-prepared1-")
        if first:
            assert np.array_equal(voice.signal, signal[first:])


@pytest.mark.parametrize(
    ("gain_db", "told"), [(-45, r"levelled for the model by \+4"), (16, r"by -1\d"), (-12, None)]
)
def test_what_is_quiet_or_loud_is_levelled_and_told(gain_db, told, library):
    loud = np.clip(speech() * 10 ** (gain_db / 20), -1, 1)
    voice = kept(library, "x", loud)
    if told is None:
        assert (voice.notes, voice.content_hash) == ((), content_hash(voice.path))
        return
    assert any(re.search(told, note) for note in voice.notes), voice.notes
    figures = measure(voice.signal, RATE)
    assert figures.rms_db == pytest.approx(-20, abs=4)
    assert figures.peak_db <= -0.9
    assert voice.content_hash != content_hash(voice.path)
    assert any("quiet (" in note or "clipped (" in note for note in voice.notes)


def test_a_recording_that_would_become_too_short_stays(library):
    signal = np.concatenate([silence(3), speech(2.5)])
    (note,) = kept(library, "x", signal).notes
    assert "is silence" in note
    with pytest.raises(InputError, match="silent"):
        kept(library, "y", speech() * 1e-4)


def test_a_telephones_recording_is_told(library):
    (note,) = kept(library, "x", speech()[::3], 8_000).notes
    assert "8000 Hz, as a telephone's" in note


def test_a_conversion_hears_the_mended_target(library):
    """As if the room had been cut off by hand; the run is told."""
    from chatter_nb.engines.world import WorldConverter

    world = WorldConverter()
    with_room = kept(library, "x", np.concatenate([silence(5), speech(), silence(5)]))
    voice = world.prepare_voice("x", library)
    by_hand = kept(library, "y", with_room.signal)
    assert by_hand.notes == ()
    assert voice.content_hash == with_room.content_hash
    assert voice.notes == with_room.notes
    profile, expected = vars(voice.data), vars(world.prepare_voice("y", library).data)
    assert all(np.array_equal(profile[name], expected[name]) for name in expected)


# -- ten seconds of a recording


def interview() -> tuple[np.ndarray, float]:
    """A room, two voices in turn, one alone, clipped, and with long pauses; where the one is."""
    signal, _ = soundfile.read(TARGET.with_name("reading.flac"), dtype="float32")
    one, low = signal[: 14 * RATE], resample(signal, 15_000, RATE)
    turns = [(one, low)[n % 2][2 * n * RATE : 2 * (n + 1) * RATE] for n in range(6)]
    sparse = [np.concatenate([one[n * RATE : (n + 1) * RATE], silence(2)]) for n in range(5)]
    parts = [silence(5), *turns, one, np.clip(one * 20, -1, 1), *sparse]
    whole = np.concatenate(parts)
    return whole + room(len(whole) / RATE, 0.001), 5.0 + 12.0


def test_the_best_ten_seconds_are_of_one_voice(cli, tmp_path):
    signal, alone_s = interview()
    soundfile.write(tmp_path / "talk.wav", signal, RATE)
    done = cli("voices", "add", "ann", tmp_path / "talk.wav", "--outputs-dir", tmp_path, check=0)
    start_s, end_s = map(float, re.findall(r"(\d+\.\d) to (\d+\.\d) s of talk", done.stdout)[0])
    assert alone_s - 0.3 <= start_s
    assert end_s <= alone_s + 14.5
    assert 8 <= end_s - start_s <= 10.1
    assert "--from 12s --to 22s" in done.stdout
    saved, rate = soundfile.read(tmp_path / "voices" / "ann.flac", dtype="float32")
    assert rate == RATE
    near = signal[round((start_s - 0.1) * RATE) :]
    first = min(range(RATE // 5), key=lambda n: np.abs(near[n : n + 500] - saved[:500]).max())
    assert np.abs(saved - near[first : first + len(saved)]).max() < 2**-15
    assert "ann " in cli("voices", "--outputs-dir", tmp_path, check=0).stdout


def test_a_part_of_a_video_is_kept_as_it_is_asked(library, tmp_path):
    media.write(tmp_path / "a.webm", speech(9), RATE, "libopus", video=True)
    path, *span, notes = keep_excerpt("zoe", tmp_path / "a.webm", library, 2.0, 7.0)
    assert (path.name, span, notes) == ("zoe.flac", [2.0, 7.0], [])
    assert library.recording("zoe").signal.shape == (5 * 48_000,)  # opus has 48 kHz
    assert library.names() == ["anna", "ben", "zoe"]


@pytest.mark.parametrize(
    ("name", "span", "told"),
    [
        ("ANNA", (0, 5), "there is a voice 'ANNA' already"),
        ("../x", (0, 5), "use 1 to 64 of A-Z"),
        ("eve", (0, 2), r"2\.00 s long; at least 3 s"),
        ("eve", (5, 20), "has 9.0 s: 5 s to 20 s is no part of it"),
        ("eve", (6, 3), "is no part of it"),
    ],
)
def test_what_cannot_be_added_is_refused_and_leaves_nothing(name, span, told, library, tmp_path):
    soundfile.write(tmp_path / "a.wav", speech(9), RATE)
    with pytest.raises(InputError, match=told):
        keep_excerpt(name, tmp_path / "a.wav", library, *span)
    assert library.names() == ["anna", "ben"]
    assert {file.suffix for file in library.folder.iterdir()} <= {".wav", ".flac", ".lock"}


# -- every voice, and one heard


def test_every_voice_that_can_be_had_is_listed(cli, tmp_path, monkeypatch):
    """The engines' own, with what each lacks here; hibari's five, one of them embedded."""
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path / "none"))
    rows = json.loads(cli("voices", "--outputs-dir", tmp_path, "--json", check=0).stdout)
    hibari = {row["name"]: row["problem"] for row in rows if row["engine"] == "hibari"}
    assert hibari.pop("heart") == ""
    assert set(hibari) == {"emma", "fenrir", "fable", "kore"}
    assert all(re.match(r"a download of \d+ MB from the", lacks) for lacks in hibari.values())
    assert {row["engine"] for row in rows} == set(TTS_ENGINES)


def test_a_voice_is_heard_in_a_sentence_that_is_made_once(cli, tmp_path):
    args = ("voices", "--play", "heart", "--engine", "hibari", "--outputs-dir", tmp_path)
    first = cli(*args, check=0, env={"PATH": ""})
    (sample,) = (tmp_path / ".voices" / "samples").glob("hibari-*/speech.mp3")
    assert sample.as_uri() in first.stdout
    made = sample.stat().st_mtime_ns
    assert soundfile.info(str(sample)).duration > 2
    assert cli(*args, check=0, env={"PATH": ""}).stdout == first.stdout
    assert sample.stat().st_mtime_ns == made
    unknown = cli("voices", "--play", "nobody", "--engine", "hibari", "--outputs-dir", tmp_path)
    assert unknown.returncode == 2
    assert "has no voice 'nobody'" in unknown.stderr


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
