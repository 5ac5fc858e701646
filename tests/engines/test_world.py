"""The embedded conversion, on real speech: its seams, its lengths, its pitch."""

import re
from functools import cache

import numpy as np
import pytest
import pyworld
import soundfile
from conftest import OZ
from hibari import Hibari
from numpy.lib.stride_tricks import sliding_window_view

from chatter_nb.audio.reading import resample
from chatter_nb.audio.windows import plan_windows
from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.engines.recordings import read_checked
from chatter_nb.engines.voices import Library
from chatter_nb.engines.world import (
    MARGIN_SAMPLES,
    RATE_HZ,
    STEP_SAMPLES,
    Change,
    WorldConverter,
    measure,
)

HALF_SEAM = round(0.025 * RATE_HZ)
FLOOR_POWER = 1e-6  # -60 dB of full scale, 35 dB below the speech: a pause's hiss counts for little
SPEECHES = [
    (0, 0, "low"),
    (10, 1, "high"),
    pytest.param(20, 2, "low", marks=pytest.mark.slow),
    pytest.param(3, 3, "high", marks=pytest.mark.slow),
]
MINUTES = [pytest.param(length_s, marks=pytest.mark.slow) for length_s in (59.99, 60.01, 119.85)]


@cache
def speech(first: int, seed: int, duration_s: float) -> np.ndarray:
    """The Oz text from its sentence `first` on, 0.2 s between sentences."""
    said = [s for s in re.split(r"(?<=[.;!?])\s+", OZ.read_text()) if len(s) > 20]
    speaker, samples = Hibari(), round(duration_s * RATE_HZ)
    parts, length = [], 0
    for sentence in (said * 40)[first:]:
        parts += [speaker(sentence, seed=seed), np.zeros(RATE_HZ // 5, np.float32)]
        length += len(parts[-2]) + len(parts[-1])
        if length >= samples:
            return np.concatenate(parts)[:samples]
    raise AssertionError("the text is too short")


@pytest.fixture(scope="module")
def engine():
    return WorldConverter()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Voices that are hibari's, pitch and formants moved: low by 0.7, high by 1.3."""
    folder = tmp_path_factory.mktemp("voices")
    for name, ratio in (("low", 0.7), ("high", 1.3)):
        target = resample(speech(15, 9, 10.0), RATE_HZ, round(RATE_HZ / ratio))
        soundfile.write(folder / f"{name}.wav", target, RATE_HZ)
    return Library(folder, folder)


@pytest.fixture(scope="module")
def convert(engine, library):
    """Convert a whole source; returns the samples, the seams and the windows."""

    def run(source, *, voice="low", window_s=1000.0, overlap_s=1.0):
        target = engine.prepare_voice(voice, library)
        conversion = engine.begin(np.asarray(source, np.float32), target, seed=0, knobs={})
        windows = plan_windows(conversion.steps, window_s=window_s, overlap_s=overlap_s)
        blocks = []
        joiner = conversion.joiner(blocks.append)
        for window in windows:
            joiner.add(window, conversion.convert([window])[0])
        seams = joiner.finish()
        assert joiner.samples == sum(map(len, blocks))
        assert len(seams) == len(windows) - 1
        return np.concatenate(blocks), seams, windows

    return run


def level_db(signal) -> float:
    return 10 * float(np.log10(np.mean(np.square(signal, dtype=np.float64)) + FLOOR_POWER))


def around(signal, seam, more=0):
    return signal[seam - HALF_SEAM - more : seam + HALF_SEAM + more]


def counterpart(piece, wider):
    """The stretch of `wider` that is most like `piece`: windows may be shifted by 8 ms."""
    stretches = sliding_window_view(wider, len(piece)).astype(np.float64)
    likeness = stretches @ piece / np.sqrt((stretches**2).sum(axis=1) + 1e-9)
    return stretches[np.argmax(likeness)]


def median_f0_hz(signal) -> float:
    f0, _ = pyworld.harvest(signal[: 5 * RATE_HZ].astype(np.float64), RATE_HZ)
    return float(np.median(f0[f0 > 0]))


@pytest.mark.slow
@pytest.mark.parametrize(("first", "seed", "voice"), SPEECHES)
def test_seams_in_speech_cannot_be_told(convert, first, seed, voice):
    """Against the same speech made in one window: no hole, swell or click at any seam."""
    source = speech(first, seed, 60.0)
    whole, _, _ = convert(source, voice=voice)
    made, seams, windows = convert(source, voice=voice, window_s=6.0)
    assert len(windows) >= 10
    steps = np.abs(np.diff(made))
    for seam in seams:
        piece = around(made, seam)
        expected = counterpart(piece, around(whole, seam, more=MARGIN_SAMPLES))
        assert level_db(piece) == pytest.approx(level_db(expected), abs=0.5)
        assert steps[seam - 120 : seam + 120].max() <= np.quantile(steps, 0.999)


@pytest.mark.parametrize("duration_s", [0.5, 1.0, *MINUTES])
def test_lengths_are_kept_to_a_step(convert, duration_s):
    """Also just below, at and above a window's length; and no window is a stump."""
    source = np.resize(speech(0, 0, 45.0), round(duration_s * RATE_HZ))
    made, _, windows = convert(source, window_s=60.0)
    assert 0 <= len(made) - len(source) < STEP_SAMPLES
    assert min(w.end_s - w.start_s for w in windows) >= min(1.0, duration_s)
    assert level_db(made) == pytest.approx(level_db(source), abs=1.5)


@pytest.mark.slow
def test_ten_minutes_stay_in_step(convert):
    """Shifts at the seams do not add up: at the end, words come when they did in the source."""
    source = np.resize(speech(0, 0, 45.0), 600 * RATE_HZ)
    made, seams, _ = convert(source, window_s=30.0)
    assert len(made) == len(source)
    assert len(seams) == 20
    source_power, made_power = (
        np.mean(s[-20 * RATE_HZ :].reshape(-1, 120) ** 2, axis=1) for s in (source, made)
    )
    lags = np.arange(-20, 21)  # of 5 ms
    agreement = [np.corrcoef(source_power, np.roll(made_power, lag))[0, 1] for lag in lags]
    assert abs(lags[np.argmax(agreement)]) <= 2


@pytest.mark.parametrize("voice", ["low", pytest.param("high", marks=pytest.mark.slow)])
def test_pitch_goes_to_the_target(convert, library, voice):
    """The result's median f0 is within 10 % of the target's, from which the source's is far."""
    source = speech(0, 0, 10.0)
    target = library.recording(voice).signal
    made, _, _ = convert(source, voice=voice, window_s=6.0)
    assert abs(median_f0_hz(source) / median_f0_hz(target) - 1) > 0.2
    assert median_f0_hz(made) == pytest.approx(median_f0_hz(target), rel=0.1)


@pytest.mark.parametrize("ratio", [0.9, 1.0, 1.1])
def test_the_ratio_of_two_vocal_tracts_is_found(ratio):
    """Other words of the same voice, its formants moved by a known ratio."""
    target = resample(speech(15, 9, 10.0), RATE_HZ, round(RATE_HZ / ratio))
    change = Change.between(measure([speech(0, 0, 20.0)]), measure([target]))
    assert change.warp == pytest.approx(ratio, rel=0.03)


def test_silence_stays_silence(convert):
    made, _, _ = convert(np.zeros(20 * RATE_HZ), window_s=6.0)
    assert np.abs(made).max() < 1e-5


@pytest.mark.parametrize("kind", ["tone", "noise", "pulses"])
def test_a_steady_sound_stays_steady(convert, kind):
    """No 50 ms at a seam is much quieter or louder than the quietest and loudest elsewhere."""
    time_samples = np.arange(20 * RATE_HZ)
    source = {
        "tone": 0.2 * np.sin(2 * np.pi * 150 / RATE_HZ * time_samples),
        "noise": 0.1 * np.random.default_rng(0).standard_normal(len(time_samples)),
        "pulses": np.where(time_samples % 160 == 0, 0.5, 0.0),
    }[kind]
    made, seams, _ = convert(source, window_s=6.0)
    inner = made[RATE_HZ // 10 : -RATE_HZ // 10]
    whole = inner[: len(inner) // 1200 * 1200].reshape(-1, 1200)
    elsewhere = [level_db(frame) for frame in whole]
    assert max(elsewhere) - min(elsewhere) < 3
    for seam in seams:
        assert min(elsewhere) - 0.5 <= level_db(around(made, seam)) <= max(elsewhere) + 0.5


@pytest.mark.slow
def test_twice_the_same_bytes(engine, library):
    """Windows made again, in another order, by another engine: sample for sample the same."""
    source, runs = speech(0, 0, 12.0), []
    for order, maker in ((1, engine), (-1, WorldConverter())):
        voice = maker.prepare_voice("low", library)
        conversion = maker.begin(source, voice, seed=order, knobs={})
        windows = plan_windows(conversion.steps, window_s=5.0, overlap_s=1.0)
        made = {w.index: conversion.convert([w])[0].tobytes() for w in windows[::order]}
        runs.append(sorted(made.items()))
    assert runs[0] == runs[1]


def test_a_window_is_its_samples_and_two_margins(engine, library):
    conversion = engine.begin(
        speech(0, 0, 5.0), engine.prepare_voice("low", library), seed=0, knobs={}
    )
    for window in plan_windows(conversion.steps, window_s=3.0, overlap_s=1.0):
        (made,) = conversion.convert([window])
        assert made.dtype == np.float32
        assert len(made) == (window.end - window.start) * STEP_SAMPLES + 2 * MARGIN_SAMPLES


def test_the_joiner_holds_back_an_overlap(engine, library):
    """After each window all of it but the overlap has been passed on."""
    conversion = engine.begin(
        speech(0, 0, 20.0), engine.prepare_voice("low", library), seed=0, knobs={}
    )
    joiner = conversion.joiner(lambda block: None)
    for window in plan_windows(conversion.steps, window_s=5.0, overlap_s=1.0):
        joiner.add(window, conversion.convert([window])[0])
        kept = 0 if window.last else window.overlap
        assert joiner.samples == (window.end - kept) * STEP_SAMPLES


@pytest.mark.parametrize("overlap_s", [0.0, 0.04, 2.5])
def test_any_overlap_gives_every_sample(convert, overlap_s):
    """None at all, one step, and half of a window."""
    source = speech(0, 0, 5.6)
    made, seams, _ = convert(source, window_s=5.0, overlap_s=overlap_s)
    assert len(made) == len(source)
    assert len(seams) >= 1
    assert np.isfinite(made).all()


def test_world_has_no_voice_of_its_own(engine, library):
    with pytest.raises(ParamError, match="needs a target recording"):
        engine.prepare_voice("", library)


def test_a_target_without_a_voice_is_refused(engine, tmp_path):
    hiss = 0.1 * np.random.default_rng(0).standard_normal(5 * RATE_HZ)
    soundfile.write(tmp_path / "hiss.wav", hiss, RATE_HZ)
    with pytest.raises(InputError, match=r"hiss\.wav: no voiced speech"):
        engine.prepare_voice("hiss", Library(tmp_path, tmp_path))


def test_a_target_is_judged_by_its_first_half_minute(engine, tmp_path):
    """A long pause costs nothing, as it would a cloning model, which hears six seconds."""
    said = speech(0, 0, 10.0)
    late = np.concatenate([said[:RATE_HZ], np.zeros(7 * RATE_HZ, np.float32), said])
    soundfile.write(tmp_path / "late.wav", late, RATE_HZ)
    assert engine.prepare_voice("late", Library(tmp_path, tmp_path)).notes == ()
    *_, notes = read_checked(tmp_path / "late.wav", where="late")
    assert [note for note in notes if "is silence" in note] != []


def test_silence_before_a_target_is_left_out_and_told(engine, tmp_path):
    late = np.concatenate([np.zeros(4 * RATE_HZ, np.float32), speech(0, 0, 10.0)])
    soundfile.write(tmp_path / "late.wav", late, RATE_HZ)
    (note,) = engine.prepare_voice("late", Library(tmp_path, tmp_path)).notes
    assert "s without speech at its beginning are left out" in note


def test_the_version_is_that_of_the_package(engine):
    assert re.fullmatch(r"\d+\.\d+.*\+r\d+", engine.version)
