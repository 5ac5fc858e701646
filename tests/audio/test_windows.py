"""Windows: all is covered, none is a stump, neighbours share what they should."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatter_nb.audio.windows import STEPS_PER_S, plan_windows


@given(
    steps=st.integers(1, 100_000),
    window_s=st.floats(4, 120),
    overlap_s=st.floats(0.2, 2),
)
def test_windows_cover_all_share_the_overlap_and_keep_to_the_limit(steps, window_s, overlap_s):
    windows = plan_windows(steps, window_s=window_s, overlap_s=overlap_s)
    longest, overlap = round(window_s * STEPS_PER_S), round(overlap_s * STEPS_PER_S)
    assert windows[0].start == 0
    assert windows[-1].end == steps
    assert [window.last for window in windows] == [False] * (len(windows) - 1) + [True]
    for window in windows:
        assert 0 < window.end - window.start <= longest
    for before, after in pairwise(windows):
        assert before.end - after.start == overlap == before.overlap


@given(steps=st.integers(1, 10_000), window_s=st.floats(4, 120), overlap_s=st.floats(0.2, 2))
def test_no_window_is_shorter_than_a_second_unless_the_source_is(steps, window_s, overlap_s):
    windows = plan_windows(steps, window_s=window_s, overlap_s=overlap_s)
    shortest = min(window.end - window.start for window in windows)
    assert shortest >= min(steps, STEPS_PER_S)


def test_a_source_a_little_over_the_limit_becomes_two_halves():
    """The predecessor made a last window of 0.11 s out of 60.01 s."""
    first, second = plan_windows(1501, window_s=60, overlap_s=1)
    assert (first.end_s - first.start_s, second.end_s - second.start_s) == (30.52, 30.52)


def test_an_overlap_that_leaves_nothing_is_refused():
    """The predecessor looped for ever, or made nothing."""
    with pytest.raises(ValueError, match="more than half"):
        plan_windows(1000, window_s=4, overlap_s=3)
