"""Files of every format measured alike, told from each other, and refused in a sentence."""

import av
import numpy as np
import pytest
import soundfile
import soxr
from hibari import Hibari

from chatter_nb.audio.measuring import Measured, measure_file
from chatter_nb.audio.meter import Loudness
from chatter_nb.audio.targets import TARGETS
from chatter_nb.base.errors import InputError

RATE = 48_000
CODECS = {"m4b": ("mp4", "aac"), "opus": ("ogg", "libopus"), "mp3": ("mp3", "libmp3lame")}


@pytest.fixture(scope="module")
def speech():
    sentence = Hibari()("The miller carried his heavy sacks across the wooden bridge.", seed=1)
    signal = np.concatenate([sentence, np.zeros(Hibari.sample_rate, "f4"), sentence])
    return soxr.resample(signal, Hibari.sample_rate, RATE)


def encoded(path, signal, name, bits_per_s):
    muxer, codec = CODECS[name]
    with av.open(str(path), "w", format=muxer) as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono", bit_rate=bits_per_s)
        frame = av.AudioFrame.from_ndarray(signal[None], format="flt", layout="mono")
        frame.sample_rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def test_every_format_has_the_same_levels(speech, tmp_path):
    soundfile.write(tmp_path / "a.wav", speech, RATE)
    wav = measure_file(tmp_path / "a.wav").loudness
    soundfile.write(tmp_path / "a.flac", speech, RATE)
    files = {"flac": tmp_path / "a.flac"}
    files |= {name: encoded(tmp_path / f"a.{name}", speech, name, 128_000) for name in CODECS}
    told = {name: measure_file(path) for name, path in files.items()}
    assert {name: one.codec for name, one in told.items()} == {
        "flac": "flac",
        "m4b": "aac",
        "opus": "opus",
        "mp3": "mp3",
    }
    for one in told.values():
        assert one.loudness.lufs == pytest.approx(wav.lufs, abs=0.5)
        assert one.loudness.rms_db == pytest.approx(wav.rms_db, abs=0.5)
        assert one.loudness.true_peak_db == pytest.approx(wav.true_peak_db, abs=1)
        assert one.loudness.duration_s == pytest.approx(wav.duration_s, abs=0.05)


def test_two_channels_are_one_signal(speech, tmp_path):
    mono, stereo = tmp_path / "mono.wav", tmp_path / "stereo.wav"
    soundfile.write(mono, speech, RATE, subtype="FLOAT")
    soundfile.write(stereo, np.stack([speech, speech], axis=1), RATE, subtype="FLOAT")
    one, two = measure_file(mono).loudness, measure_file(stereo).loudness
    assert (one.channels, two.channels) == (1, 2)
    assert two.lufs == pytest.approx(one.lufs + 3.01, abs=0.01)
    assert (two.rms_db, two.true_peak_db) == pytest.approx((one.rms_db, one.true_peak_db), abs=1e-4)


def test_constant_and_varying_bit_rates_are_told_apart(speech, tmp_path):
    """ACX takes constant bit rates of 192 kbit/s and more."""
    soundfile.write(tmp_path / "v.mp3", speech, RATE, bitrate_mode="VARIABLE")
    made = {
        rate: encoded(tmp_path / f"{rate}.mp3", speech, "mp3", rate) for rate in (192_000, 160_000)
    }
    texts = []
    for path in (tmp_path / "v.mp3", *made.values()):
        measured = measure_file(path)
        failures = TARGETS["acx"].file_failures(measured)
        texts.append((measured.is_constant, any(words.startswith("format") for words in failures)))
    assert texts == [(False, True), (True, False), (True, True)]
    assert "mp3, constant 160 kbit/s" in measure_file(made[160_000]).format_text


def test_a_mono_podcast_is_three_lower_than_one_of_two_channels(speech, tmp_path):
    loud = speech * np.float32(10 ** ((-14 - 0.01) / 20) / np.sqrt(np.mean(speech**2)))
    for name, signal, asked in (
        ("mono", loud, "-20 to -18"),
        ("stereo", np.stack([loud, loud], axis=1), "-17 to -15"),
    ):
        soundfile.write(tmp_path / f"{name}.wav", signal, RATE, subtype="FLOAT")
        failures = TARGETS["podcast"].failures(measure_file(tmp_path / f"{name}.wav").loudness)
        assert failures[0].endswith(f"asked {asked}")
    assert failures[1].startswith("true peak ")


def test_acx_takes_files_of_two_hours_at_most():
    for minutes, failures in ((120, []), (121, ["length 121.0 min, asked at most 120"])):
        levels = Loudness(60 * minutes, 1, rms_db=-20, lufs=-19, true_peak_db=-3.04, floor_db=-60)
        measured = Measured(levels, "mp3", 44_100, 192_000, is_constant=True)
        assert TARGETS["acx"].file_failures(measured) == failures


def test_what_cannot_be_measured_is_a_sentence(speech, tmp_path):
    text, playlist, many, empty, bad = (
        tmp_path / name for name in ("text.mp3", "list.m3u8", "many.wav", "empty.wav", "bad.wav")
    )
    text.write_text("No audio at all. " * 40)
    real = encoded(tmp_path / "real.mp3", speech, "mp3", 128_000)
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{real}\n#EXT-X-ENDLIST\n")
    soundfile.write(many, np.zeros((RATE, 3)), RATE)
    soundfile.write(empty, np.zeros(0), RATE)
    soundfile.write(bad, np.full(RATE, np.nan), RATE, subtype="FLOAT")
    for file, words in (
        (tmp_path / "none.wav", "does not exist"),
        (tmp_path, "is a folder: give the audio files in it"),
        (text, "readable: wav flac mp3"),
        (playlist, "readable: wav flac mp3"),
        (many, "must hold one or two channels"),
        (empty, "holds no sound"),
        (bad, "16384 of 16384 samples are NaN or infinite"),
    ):
        with pytest.raises(InputError, match=words) as error:
            measure_file(file)
        assert str(file) in str(error.value)
