"""A chapter of real speech meets its target in the encoded file, by other means than our meter."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyloudnorm
import pytest
import soundfile
from conftest import ROOT
from hibari import Hibari
from scipy.signal import lfilter

from chatter_nb.audio.join import trim_edges
from chatter_nb.audio.limiter import Limiter
from chatter_nb.audio.mastering import (
    ROOM_TONE_DB,
    levelled,
    master_chapter,
    steady_line_hz,
    with_room_tone,
)
from chatter_nb.audio.measuring import even_blocks, measure_file
from chatter_nb.audio.reading import read_audio, resample, resample_blocks
from chatter_nb.audio.targets import TARGETS
from chatter_nb.base.errors import OutputError

RATE = Hibari.sample_rate
TEXTS = (
    "The miller carried his heavy sacks across the wooden bridge.",
    "Nobody had seen the river so high since the great flood!",
)
ACX, PODCAST = TARGETS["acx"], TARGETS["podcast"]


@pytest.fixture(scope="module")
def speech():
    pause = np.zeros(RATE, "f4")
    spoken = (Hibari()(text, seed=at) for at, text in enumerate(TEXTS))
    sentences = [trim_edges(sentence, sample_rate=RATE) for sentence in spoken]
    return np.concatenate([part for sentence in sentences * 2 for part in (sentence, pause)])


@pytest.fixture
def spool(tmp_path):
    """Writes samples as a spool."""

    def write(signal):
        path = tmp_path / "chapter.part"
        signal.astype("<f4").tofile(path)
        return path

    return write


def master(spool, path, target=ACX, codec_name="mp3"):
    return master_chapter(spool, path, target, sample_rate=RATE, codec_name=codec_name)


def halves_db(signal, rate):
    """The RMS of every half second, in dB."""
    size = rate // 2
    parts = signal[: len(signal) // size * size].reshape(-1, size)
    return 10 * np.log10(np.maximum(1e-12, np.mean(parts.astype("f8") ** 2, axis=1)))


def test_an_mp3_meets_every_number_of_acx(spool, speech, tmp_path):
    """Measured with libsndfile, soxr and numpy; also where it was far too quiet, or too loud."""
    for gain in (0.2, 1.0, 6.0):
        path = tmp_path / "chapter.mp3"
        report = master(spool(speech * np.float32(gain)), path)
        signal, rate = read_audio(path)
        assert (report.failures, rate) == ((), 44_100)
        assert -23 <= 10 * np.log10(np.mean(signal.astype("f8") ** 2)) <= -18
        assert 20 * np.log10(np.abs(resample(signal, rate, 8 * rate)).max()) <= -3
        assert halves_db(signal, rate).min() <= -60
        sound = np.flatnonzero(np.abs(signal) > 0.02)
        assert 0.5 <= sound[0] / rate <= 1
        assert 1 <= (len(signal) - sound[-1]) / rate <= 5
        assert soundfile.info(path).channels == 1
        file = measure_file(path)
        assert (file.codec, file.bits_per_s, file.is_constant) == ("mp3", 192_000, True)


def test_pauses_hold_room_tone_and_no_digital_silence(spool, speech, tmp_path):
    master(spool(speech), tmp_path / "chapter.mp3")
    signal, rate = read_audio(tmp_path / "chapter.mp3")
    quiet = halves_db(signal, rate)
    assert quiet.min() == pytest.approx(ROOM_TONE_DB, abs=1.5)
    assert np.count_nonzero(quiet < -60) >= 4  # before, after, and between the sentences


@pytest.mark.parametrize("codec_name", ["mp3", "m4b", "opus"])
@pytest.mark.parametrize(("name", "lufs"), [("podcast", -19), ("r128", -23)])
def test_a_file_has_the_loudness_of_its_target(spool, speech, tmp_path, codec_name, name, lufs):
    """Measured with pyloudnorm; the report says the same of the file, and of the spool."""
    path = tmp_path / "chapter"
    report = master(spool(speech), path, TARGETS[name], codec_name)
    assert report.failures == ()
    assert report.after.lufs == pytest.approx(lufs, abs=0.3)
    assert report.after == measure_file(path).loudness
    before = pyloudnorm.Meter(RATE).integrated_loudness(speech)
    assert report.before.lufs == pytest.approx(before, abs=0.1)
    assert report.gain_db == round(report.gain_db, 1) == pytest.approx(lufs - before, abs=0.5)
    if codec_name == "mp3":
        signal, rate = read_audio(path)
        assert pyloudnorm.Meter(rate).integrated_loudness(signal) == pytest.approx(lufs, abs=0.3)


def test_below_the_ceiling_all_samples_have_one_gain(speech):
    limiter = Limiter(RATE, ceiling_db=-1)
    bare = replace(PODCAST, head_s=0.5, tail_s=0.25)
    louder = np.concatenate([*levelled([speech], bare, limiter, 3.0, RATE)])
    assert np.array_equal(louder[RATE // 2 : -RATE // 4], speech * np.float32(10 ** (3 / 20)))
    assert not louder[: RATE // 2].any()
    assert not louder[-RATE // 4 :].any()


def test_the_signal_is_the_same_to_the_bit_in_blocks_of_any_size(speech):
    """Gain, limiter, padding, tone and resampling; and as long as it must be."""

    def chapter(blocks):
        limiter = Limiter(RATE, ceiling_db=-3.5)
        signal = levelled(blocks, ACX, limiter, 16.0, RATE)
        return np.concatenate([*resample_blocks(with_room_tone(signal, RATE), RATE, 44_100)])

    whole = chapter([speech])
    edges = [0, 1, 2, 5000, 70_000, 70_001, len(speech)]
    assert np.array_equal(chapter(speech[a:b] for a, b in pairwise(edges)), whole)
    assert np.array_equal(chapter(np.array_split(speech, 1000)), whole)
    assert len(whole) == -(-(len(speech) + round(2.75 * RATE)) * 44_100 // RATE)


@pytest.mark.parametrize("sizes", [[], [0], [1, 0, 3], [16_384], [16_383, 2], [50_000, 1]])
def test_even_blocks_hold_all_samples(sizes):
    blocks = [np.arange(size, dtype="f4") for size in sizes]
    even = [*even_blocks(blocks)]
    assert [len(block) for block in even[:-1]] == [16_384] * (len(even) - 1)
    assert np.array_equal(np.concatenate([[], *even]), np.concatenate([[], *blocks]))


@pytest.mark.parametrize("codec_name", ["mp3", "m4b", "opus"])
def test_a_chapter_is_byte_for_byte_the_same_again(spool, speech, tmp_path, codec_name):
    for name in ("first", "again"):
        master(spool(speech), tmp_path / name, codec_name=codec_name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "again").read_bytes()


def test_what_still_fails_lower_by_half_a_decibel_is_told_and_kept(spool, tmp_path):
    """Hiss has no pauses: no gain brings its floor below -60 dB."""
    hiss = (0.05 * np.random.default_rng(3).standard_normal(RATE * 5)).astype("f4")
    bare = replace(ACX, head_s=0.0, tail_s=0.0)
    report = master(spool(hiss), tmp_path / "chapter.mp3", bare)
    assert report.tries == 2
    [failure] = report.failures
    assert failure.startswith("noise floor -2")
    assert report.gain_db == round(-20 - report.before.rms_db + 0.35 - 0.5, 1)
    assert soundfile.info(tmp_path / "chapter.mp3").duration == pytest.approx(5, abs=0.1)


def test_a_file_that_overshoots_is_encoded_again_and_then_passes(spool, speech, tmp_path):
    near = replace(PODCAST, aim=-13, highest=-12, ceiling_db=PODCAST.peak_db)
    report = master(spool(speech), tmp_path / "chapter.m4b", near, "m4b")
    assert (report.tries, report.failures) == (2, ())
    assert report.after.true_peak_db <= -1
    assert report.gain_db == round(near.missing_db(report.before) - 0.5, 1)


def test_silence_is_told_and_not_made_loud(spool, tmp_path):
    report = master(spool(np.zeros(RATE, "f4")), tmp_path / "chapter.mp3", PODCAST)
    assert -1 <= report.gain_db <= 1
    assert report.failures[0].startswith("loudness -120.0 LUFS, asked -20 to -18")


def test_a_full_disk_is_a_sentence_and_leaves_nothing(spool, speech, small_disk):
    path = small_disk.folder / "chapter.mp3"
    with pytest.raises(OutputError, match="disk full while writing"):
        master(spool(np.tile(speech, 3)), path)
    assert list(small_disk.folder.iterdir()) == []


def line(length, hz=4903.3, *, db=-53.0):
    """A tone of an RMS of `db` dBFS."""
    tone = np.sin(2 * np.pi * hz * np.arange(length) / RATE)
    return (10 ** (db / 20) * np.sqrt(2) * tone).astype("f4")


def synthetic(seed):
    """Dull noise that swells and pauses as speech does, over a floor of -75 dB; 30 s."""
    random = np.random.default_rng(seed)
    loud_db = random.uniform(-40, -10, 100) - 60 * (random.random(100) < 0.25)
    loud = np.repeat(10 ** (loud_db / 20), RATE * 3 // 10)
    noise = lfilter([1], [1, -0.9], random.standard_normal(len(loud)))
    floor = 10 ** (-75 / 20) * random.standard_normal(len(loud))
    return (loud * noise / np.std(noise) + floor).astype("f4")


@pytest.fixture(scope="module")
def voices(speech):
    """hibari's voice at three speeds, and the recordings of the project; all at `RATE`."""
    slow_fast = [np.concatenate([Hibari()(t, speed=s) for t in TEXTS * 2]) for s in (0.7, 1.4)]
    paths = sorted((ROOT / "params" / "recordings").glob("*.flac"))
    return [speech, *slow_fast, *(resample(*read_audio(path), RATE) for path in paths)]


@pytest.mark.parametrize("hz", [4720.0, 4903.3, 5080.0])
def test_a_steady_line_is_measured_to_half_a_hertz(spool, voices, hz):
    for signal in [*map(synthetic, range(5)), *voices]:
        assert steady_line_hz(spool(signal + line(len(signal), hz)), RATE) == pytest.approx(
            hz, abs=0.5
        )


def test_speech_without_a_line_has_none(spool, voices, speech):
    """Nor one that is elsewhere, is heard a third of the time, or lasts less than 4 s."""
    size = len(speech)
    sometimes = np.arange(size) // RATE % 3 == 0
    others = [speech + line(size, 3000, db=-40), speech + sometimes * line(size, db=-30)]
    others += [(speech + line(size))[: 3 * RATE], np.zeros(10 * RATE)]
    for signal in [*map(synthetic, range(5)), *voices, *others]:
        assert steady_line_hz(spool(signal), RATE) is None


def test_a_line_is_taken_out_and_nothing_else(spool, speech, tmp_path):
    """It would make the floor of every pause fail, as Chatterbox' line does."""
    plain, clean = (tmp_path / name for name in ("plain.mp3", "clean.mp3"))
    assert master(spool(speech), plain).notch_hz is None
    report = master(spool(speech + line(len(speech))), clean)
    assert (report.notch_hz, report.failures) == (pytest.approx(4903.3, abs=0.5), ())
    (before, rate), (after, _) = read_audio(plain), read_audio(clean)
    away = after - before * np.float32(np.std(after) / np.std(before))
    # At the line's own place speech is missing too: 60 Hz of 11,025.
    assert 20 * np.log10(np.std(away) / np.std(before)) < -25
    spectrum = np.abs(np.fft.rfft(after * np.hanning(len(after)))) / len(after) * 4 / np.sqrt(2)
    at = round(4903.3 * len(after) / rate)
    left_db = 20 * np.log10(spectrum[at - 3 : at + 4].max())
    assert left_db < -53 + report.gain_db - 25
