"""Words begin and end with their sound, on signals with known answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatter_nb.audio.words import WordTime, end_at_energy, start_at_energy

RATE = 24_000


def sound(*spans_s, length_s=3.0):
    """Noise of full level in the spans, and hiss 60 dB below it elsewhere."""
    noise = np.random.default_rng(0).uniform(-1, 1, round(length_s * RATE)).astype(np.float32)
    loud = np.full(len(noise), 1e-3, np.float32)
    for start_s, end_s in spans_s:
        loud[round(start_s * RATE) : round(end_s * RATE)] = 1
    return noise * loud


def ended(audio, *spans_s):
    words = [WordTime("word", *span_s) for span_s in spans_s]
    return [word.end_s for word in end_at_energy(words, audio, sample_rate=RATE)]


def started(audio, *spans_s):
    words = [WordTime("word", *span_s) for span_s in spans_s]
    moved = start_at_energy(words, audio, sample_rate=RATE)
    return [(word.start_s, word.end_s) for word in moved]


def test_a_word_before_a_pause_ends_with_its_sound():
    audio = sound((0.5, 1.0), (2.0, 2.5))
    assert ended(audio, (0.5, 1.95), (2.0, 3.0)) == pytest.approx([1.0, 2.5], abs=0.006)


def test_the_silence_of_closed_lips_is_inside_the_word():
    """80 ms without sound, then a burst of 30 ms at the end of the word."""
    audio = sound((0.5, 0.9), (0.98, 1.01))
    assert ended(audio, (0.5, 1.5)) == pytest.approx([1.01], abs=0.006)


def test_the_onset_of_the_next_word_is_not_the_end_of_this_one():
    """The next word is said to begin at 1.6 s, 40 ms after its onset."""
    audio = sound((0.5, 1.0), (1.56, 2.0))
    assert ended(audio, (0.5, 1.6), (1.6, 2.2)) == pytest.approx([1.0, 2.0], abs=0.006)


def test_a_word_without_sound_keeps_its_end():
    assert ended(sound((2.0, 2.5)), (0.5, 1.0)) == [1.0]
    assert ended(np.zeros(RATE, np.float32), (0.5, 0.8)) == [0.8]
    assert ended(np.zeros(0, np.float32), (0.0, 0.1)) == [0.1]


@pytest.mark.parametrize("said_s", [0.45, 0.5, 0.55, 0.63])
def test_a_word_after_a_pause_starts_with_its_sound(said_s):
    (span_s,) = started(sound((0.5, 1.0)), (said_s, 1.1))
    assert span_s == pytest.approx((0.5, 1.1), abs=0.006)


def test_a_word_inside_a_phrase_keeps_its_start():
    """It begins where the word before it ends, though the lips close there for 120 ms."""
    audio = sound((0.5, 0.9), (1.02, 1.5))
    (_, second_s) = started(audio, (0.5, 0.98), (0.98, 1.5))
    assert second_s == (0.98, 1.5)


def test_an_onset_far_away_is_not_the_words():
    assert started(sound((0.5, 1.0)), (0.2, 0.4), (0.9, 1.0)) == [(0.2, 0.4), (0.9, 1.0)]


def test_a_word_ends_where_the_next_is_moved_to():
    audio = sound((0.2, 1.0), (1.4, 2.0))
    assert started(audio, (0.2, 1.48), (1.5, 2.0))[0] == pytest.approx((0.2, 1.4), abs=0.006)


@settings(max_examples=60)
@given(
    cuts=st.lists(st.integers(1, 290), min_size=2, max_size=24, unique=True).map(sorted),
    edges=st.lists(st.integers(1, 290), min_size=2, max_size=12, unique=True).map(sorted),
)
def test_words_stay_in_order_and_no_end_moves_on(cuts, edges):
    audio = sound(*zip(np.array(edges[::2]) / 100, np.array(edges[1::2]) / 100, strict=False))
    words = [WordTime("w", a / 100, b / 100) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    started_words = start_at_energy(words, audio, sample_rate=RATE)
    moved = end_at_energy(started_words, audio, sample_rate=RATE)
    times_s = [time_s for word in moved for time_s in (word.start_s, word.end_s)]
    assert times_s == sorted(times_s)
    assert all(new.end_s <= old.end_s for new, old in zip(moved, words, strict=True))
