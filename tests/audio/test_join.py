"""Joining, on signals with known answers."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatter_nb.audio.join import ExactLength, Joiner, best_join, crossfade, trim_edges
from chatter_nb.base.errors import ChatterError

RATE = 1000


def join(chunks, crossfade_ms=0.0, order=None):
    """Join (signal, pause_ms) pairs; returns the samples and the result."""
    blocks = []
    joiner = Joiner(blocks.append, sample_rate=RATE, crossfade_ms=crossfade_ms)
    for index in order or range(len(chunks)):
        signal, pause_ms = chunks[index]
        joiner.add(index, np.asarray(signal, np.float32), pause_ms=pause_ms)
    joined = joiner.finish(len(chunks))
    return np.concatenate(blocks), joined


@pytest.mark.parametrize("samples", [0, 3, 9, 10, 11, 25])
def test_an_exact_length_is_cut_or_filled_with_silence(samples):
    """Ten samples in three blocks, to as many as are asked for."""
    blocks = []
    exact = ExactLength(blocks.append, samples)
    for block in np.array_split(np.ones(10, np.float32), 3):
        exact.write(block)
    exact.finish()
    expected = [1.0] * min(samples, 10) + [0.0] * max(0, samples - 10)
    assert np.concatenate(blocks).tolist() == expected


def test_a_crossfade_of_equal_signals_stays_equal():
    """Full correlation: the gains add up to one, a constant stays constant."""
    ones = np.ones(200, np.float32)
    assert crossfade(ones, ones) == pytest.approx(ones, abs=1e-6)


def test_a_crossfade_of_unrelated_signals_keeps_their_power():
    """Uncorrelated noise: no dip, where a linear crossfade loses 3 dB in the middle."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 200_000)).astype(np.float32)
    mixed = crossfade(a, b).reshape(10, -1)
    assert (mixed**2).mean(axis=1) == pytest.approx(np.ones(10), abs=0.03)


def test_a_crossfade_into_silence_is_no_nan():
    assert np.isfinite(crossfade(np.zeros(10, np.float32), np.ones(10, np.float32))).all()
    assert len(crossfade(np.zeros(0, np.float32), np.zeros(0, np.float32))) == 0


def test_pauses_are_exact_and_seams_are_where_chunks_end():
    samples, joined = join([([1.0] * 5, 3), ([2.0] * 4, 0)])
    assert samples.tolist() == [1] * 5 + [0] * 3 + [2] * 4
    assert joined.seams_samples == (5,)
    assert [(s.start_samples, s.end_samples) for s in joined.spans] == [(0, 5), (8, 12)]
    assert joined.samples == 12


def test_no_pause_overlaps_by_the_crossfade():
    samples, joined = join([([1.0] * 20, 0), ([1.0] * 20, 0)], crossfade_ms=4)
    assert samples == pytest.approx(np.ones(36), abs=1e-6)
    assert [(s.start_samples, s.end_samples) for s in joined.spans] == [(0, 20), (16, 36)]
    assert joined.seams_samples == (18,)


def test_an_empty_chunk_takes_only_its_pause():
    samples, joined = join([([1.0] * 4, 2), ([], 3), ([1.0] * 4, 0)], crossfade_ms=2)
    assert samples.tolist() == [1] * 4 + [0] * 5 + [1] * 4
    assert joined.seams_samples == (4, 6)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_order_of_arrival_changes_nothing(order):
    rng = np.random.default_rng(1)
    chunks = [(rng.standard_normal(30), pause) for pause in (0, 5, 0, 0)]
    straight, expected = join(chunks, crossfade_ms=6)
    mixed, joined = join(chunks, crossfade_ms=6, order=order)
    assert np.array_equal(straight, mixed)
    assert joined == expected


@settings(max_examples=300)
@given(
    chunks=st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from([0, 0, 7])), min_size=1, max_size=8
    ),
    overlap=st.integers(0, 30),
)
def test_length_and_spans_always_agree(chunks, overlap):
    """What is written is as long as is told, and spans follow one another in order."""
    samples, joined = join([(np.ones(n), p) for n, p in chunks], crossfade_ms=overlap)
    assert len(samples) == joined.samples
    assert joined.samples == joined.spans[-1].end_samples + chunks[-1][1]
    assert np.abs(samples).max(initial=0) <= 1 + 1e-5
    assert list(joined.seams_samples) == sorted(joined.seams_samples)
    assert len(joined.seams_samples) == len(chunks) - 1


def test_a_missing_chunk_is_an_error_and_so_is_a_double():
    joiner = Joiner(lambda block: None, sample_rate=RATE)
    joiner.add(1, np.ones(3, np.float32), pause_ms=0)
    with pytest.raises(ChatterError, match="chunk 0 of 2 never came"):
        joiner.finish(2)
    with pytest.raises(ChatterError, match="chunk 1 was joined twice"):
        joiner.add(1, np.ones(3, np.float32), pause_ms=0)


def test_samples_are_passed_on_as_they_come():
    """Memory stays flat: after each chunk at most a crossfade is held back."""
    written = []
    joiner = Joiner(lambda block: written.append(len(block)), sample_rate=RATE, crossfade_ms=10)
    for index in range(5):
        joiner.add(index, np.ones(100, np.float32), pause_ms=0)
        assert sum(written) == 100 + index * 90 - 10


def test_edges_are_trimmed_to_the_guard():
    """Half a second of quiet hiss around a tone becomes 30 ms; the tone is untouched."""
    rate = 24_000
    hiss = 1e-4 * np.random.default_rng(0).standard_normal(12_000).astype(np.float32)
    tone = np.sin(np.arange(24_000) / 10).astype(np.float32)
    trimmed = trim_edges(np.concatenate([hiss, tone, hiss]), sample_rate=rate)
    guard, frame = round(0.03 * rate), round(0.005 * rate)
    assert len(tone) + 2 * guard <= len(trimmed) <= len(tone) + 2 * (guard + frame)
    assert trimmed[0] == pytest.approx(0, abs=1e-4)
    start = np.argmax(np.abs(trimmed) > 0.05)
    assert np.array_equal(
        trimmed[start : start + 20_000], tone[np.argmax(np.abs(tone) > 0.05) :][:20_000]
    )


def test_silence_trims_to_nothing():
    assert len(trim_edges(np.zeros(1000, np.float32), sample_rate=24_000)) == 0
    assert len(trim_edges(np.zeros(0, np.float32), sample_rate=24_000)) == 0


def noise(samples, seed=0):
    return np.random.default_rng(seed).standard_normal(samples).astype(np.float32)


def search(tail, head, lags=50):
    return best_join(tail, head, lags_samples=lags, segment_samples=200)


@pytest.mark.parametrize("shift", [-50, -7, 0, 50])
def test_a_shift_between_two_renderings_is_found(shift):
    """Equal but for a shift within the lags: the lag is that shift, to the sample."""
    sound = noise(3000)
    tail, head = sound[1000:2000], sound[950 - shift : 2050 - shift]
    position, lag = search(tail, head)
    assert lag == shift
    assert np.array_equal(tail[position:][:50], head[50 + lag + position :][:50])


def test_the_join_is_where_two_renderings_agree():
    """Unrelated noise but for one stretch of 400 samples: the segment lies in it."""
    tail, head = noise(4000, 1), noise(4100, 2)
    head[50 + 2000 + 20 : 50 + 2400 + 20] = tail[2000:2400]
    position, lag = search(tail, head)
    assert 2100 <= position <= 2300
    assert lag == 20


def test_agreement_in_shape_is_not_enough():
    """Of two places of equal shape, the one of equal level is taken."""
    tail, head = noise(4000, 1), noise(4100, 2)
    head[50 + 500 : 50 + 900] = 0.3 * tail[500:900]
    head[50 + 3000 : 50 + 3400] = tail[3000:3400]
    assert 3100 <= search(tail, head)[0] <= 3300


def test_where_nothing_agrees_the_join_is_quiet_and_unshifted():
    tail, head = noise(4000, 1), noise(4100, 2)
    tail[1500:1900] *= 0.05
    head[1550:1950] *= 0.05
    position, lag = search(tail, head)
    assert 1600 <= position <= 1800
    assert lag == 0


@pytest.mark.parametrize("samples", [0, 1, 3, 150, 200])
def test_a_short_overlap_is_joined_within_it(samples):
    """Shorter than a segment, silent or not there at all: still a place in it."""
    for tail in (noise(samples), np.zeros(samples, np.float32)):
        position, lag = search(tail, np.pad(tail, 50))
        assert 0 <= position <= samples
        assert lag == 0
