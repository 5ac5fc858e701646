"""A chapter of real speech meets its target in the encoded file, by other means than our meter."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyloudnorm
import pytest
import soundfile
from hibari import Hibari

from chatter_nb.audio.join import trim_edges
from chatter_nb.audio.limiter import Limiter
from chatter_nb.audio.mastering import (
    ROOM_TONE_DB,
    levelled,
    master_chapter,
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


@pytest.mark.parametrize("sizes", [[], [0], [1, 0, 3], [65_536], [65_535, 2], [200_000, 1]])
def test_even_blocks_hold_all_samples(sizes):
    blocks = [np.arange(size, dtype="f4") for size in sizes]
    even = [*even_blocks(blocks)]
    assert [len(block) for block in even[:-1]] == [65_536] * (len(even) - 1)
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
