"""The meter against two others, pyloudnorm and FFmpeg's ebur128; the limiter's ceiling."""

import av
import numpy as np
import pyloudnorm
import pytest
from hibari import Hibari

from chatter_nb.audio.limiter import LOOK_AHEAD_MS, Limiter
from chatter_nb.audio.meter import SILENCE_DB, Meter

RATES_HZ = (22_050, 24_000, 44_100, 48_000)
TEXT = "Nobody had seen the river so high since the great flood; two herons stood beside the road."


def tone(rate, *, hz=997.0, level=1.0, seconds=10.0, phase=0.0):
    angle = 2 * np.pi * hz * np.arange(round(rate * seconds)) / rate + phase
    return (level * np.sin(angle)).astype("f4")


def noise(rate, *, seconds=10, channels=1):
    shape = (rate * seconds, channels)
    return (0.1 * np.random.default_rng(7).standard_normal(shape)).astype("f4").squeeze()


@pytest.fixture(scope="module")
def speech():
    return np.concatenate([Hibari()(TEXT, seed=seed) for seed in (1, 2)])


def measured(signal, rate, *, block=10_000):
    meter = Meter(rate, channels=1 if signal.ndim == 1 else signal.shape[1])
    for start in range(0, len(signal), block):
        meter.write(signal[start : start + block])
    return meter.result()


def ebur128(signal, rate):
    """LUFS and true peak in dB, as FFmpeg's filter measures them."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=rate, format="flt", layout="mono")
    meter = graph.add("ebur128", "peak=true:metadata=1:framelog=quiet")
    sink = graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(signal[None], format="flt", layout="mono")
    frame.sample_rate, frame.pts = rate, 0
    graph.push(frame)
    graph.push(None)
    told = {}
    while True:
        try:
            told |= graph.pull().metadata  # the last frame may hold less
        except av.error.EOFError:
            peak = float(told["lavfi.r128.true_peaks_ch0"])
            return float(told["lavfi.r128.I"]), 20 * np.log10(peak)


def speech_with_pauses(speech):
    pause = np.zeros(3 * Hibari.sample_rate, "f4")
    return np.concatenate([pause, speech, pause, 0.1 * speech, pause])


def test_the_standards_tone_has_the_standards_loudness():
    """997 Hz at full scale in one channel: -3.01 LUFS; in two channels 3.01 LU more."""
    for rate in RATES_HZ:
        mono = tone(rate)
        assert measured(mono, rate).lufs == pytest.approx(-3.01, abs=0.03)
        stereo = measured(np.stack([mono, mono], axis=1), rate)
        assert stereo.lufs == pytest.approx(0.0, abs=0.03)
        assert stereo.rms_db == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("rate", RATES_HZ)
@pytest.mark.parametrize("kind", ["tone", "low tone", "noise", "steps"])
def test_loudness_is_that_of_two_other_meters(rate, kind):
    steps = np.repeat([0.001, 1, 0.05, 0.3], rate * 5 // 2).astype("f4")
    signal = {
        "tone": lambda: tone(rate, level=0.1),
        "low tone": lambda: tone(rate, hz=60, level=0.3),
        "noise": lambda: noise(rate),
        "steps": lambda: noise(rate) * steps,
    }[kind]()
    ours = measured(signal, rate).lufs
    assert ours == pytest.approx(pyloudnorm.Meter(rate).integrated_loudness(signal), abs=0.1)
    assert ours == pytest.approx(ebur128(signal, rate)[0], abs=0.1)


def test_speech_and_its_pauses_measure_as_with_two_other_meters(speech):
    rate = Hibari.sample_rate
    for signal in (speech, speech_with_pauses(speech)):
        ours = measured(signal, rate)
        assert ours.lufs == pytest.approx(
            pyloudnorm.Meter(rate).integrated_loudness(signal), abs=0.1
        )
        lufs, peak_db = ebur128(signal, rate)
        assert ours.lufs == pytest.approx(lufs, abs=0.1)
        assert ours.true_peak_db == pytest.approx(peak_db, abs=0.1)


@pytest.mark.parametrize("rate", RATES_HZ)
def test_a_peak_between_samples_is_found(rate):
    """A quarter of the rate, sampled off its peaks: samples reach -3 dB, the signal 0 dB."""
    ramp = np.clip(np.minimum(np.arange(rate), np.arange(rate)[::-1]) / 1000, 0, 1)
    signal = (ramp * tone(rate, hz=rate / 4, seconds=1, phase=np.pi / 4)).astype("f4")
    assert np.abs(signal).max() == pytest.approx(np.sqrt(0.5), abs=1e-3)
    assert measured(signal, rate).true_peak_db == pytest.approx(0, abs=0.05)
    assert measured(signal[: rate // 4], rate, block=7).true_peak_db > -0.05


def test_rms_and_the_quietest_half_second():
    rate = 24_000
    quiet = tone(rate, hz=500, level=0.001 * np.sqrt(2), seconds=0.8)
    loud = tone(rate, hz=500, level=0.1 * np.sqrt(2), seconds=7.2)
    levels = measured(np.concatenate([loud[: rate * 3], quiet, loud[rate * 3 :]]), rate)
    assert levels.floor_db == pytest.approx(-60, abs=0.01)
    assert levels.rms_db == pytest.approx(10 * np.log10(0.01 * 7.2 / 8), abs=0.01)
    assert levels.duration_s == 8


def test_a_signal_measures_the_same_however_it_is_cut(speech):
    whole = measured(speech, 24_000, block=len(speech))
    for block in (97, 2400, 65_536):
        assert measured(speech, 24_000, block=block) == whole


@pytest.mark.parametrize("samples", [0, 100, 9000])
def test_silence_and_short_signals_have_levels_too(samples):
    silent = measured(np.zeros(samples, "f4"), 24_000)
    assert silent.rms_db == silent.lufs == silent.floor_db == silent.true_peak_db == SILENCE_DB
    short = measured(tone(24_000)[:samples], 24_000)
    assert short.lufs == SILENCE_DB
    assert short.rms_db == pytest.approx(-3 if samples else SILENCE_DB, abs=0.3)


def limited(signal, ceiling_db, *, block=10_000, rate=24_000):
    limiter = Limiter(rate, ceiling_db=ceiling_db)
    parts = [limiter.write(signal[at : at + block]) for at in range(0, len(signal), block)]
    return np.concatenate([*parts, limiter.finish()]), limiter.deepest_db


@pytest.mark.parametrize("louder_db", [10, 16, 30])
def test_no_peak_is_above_the_ceiling_and_no_sample_is_lost(speech, louder_db):
    loud = speech * np.float32(10 ** (louder_db / 20))
    quieter, deepest_db = limited(loud, -3.5)
    levels = measured(quieter, 24_000)
    assert len(quieter) == len(speech)
    assert -3.7 < levels.true_peak_db <= -3.5
    assert deepest_db == pytest.approx(-3.55 - measured(loud, 24_000).true_peak_db, abs=0.3)


@pytest.mark.parametrize("block", [20, 333, 10**6])
def test_what_is_below_the_ceiling_is_untouched(speech, block):
    short = speech[:30_000]
    same, deepest_db = limited(short, measured(short, 24_000).true_peak_db + 0.1, block=block)
    assert np.array_equal(same, short)
    assert deepest_db == 0


def test_the_gain_moves_only_around_a_peak():
    """Untouched until the look-ahead, exactly aligned, and back within 110 ms after 6 dB."""
    rate = 24_000
    signal = tone(rate, hz=440, level=0.3, seconds=2)
    signal[rate : rate + 48] *= np.float32(1 / 0.3)
    quieter, deepest_db = limited(signal, -6)
    before = rate - round(rate * LOOK_AHEAD_MS / 1000) - 24
    assert deepest_db < -4
    assert np.array_equal(quieter[:before], signal[:before])
    assert np.array_equal(quieter[rate + round(0.11 * rate) :], signal[rate + round(0.11 * rate) :])
    at = np.flatnonzero(np.abs(signal) > 0.01)
    slope_db = np.diff(20 * np.log10(quieter[at] / signal[at])) / np.diff(at)
    assert np.abs(slope_db).max() < 0.15  # a sample: no click


def test_a_limiter_gives_the_same_in_blocks_of_any_size(speech):
    loud = speech[:60_000] * np.float32(8)
    whole, _ = limited(loud, -3.5, block=10**6)
    for block in (50, 4097):
        assert np.abs(limited(loud, -3.5, block=block)[0] - whole).max() < 1e-6
