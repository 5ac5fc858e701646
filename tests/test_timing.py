"""Timing: stages that add up, and a rule that tells a slow-down from noise."""

import subprocess
import sys
import time

import numpy as np
import pytest

from chatter_nb.timing import (
    Stopwatch,
    append_record,
    compare,
    peak_rss_mb,
    read_records,
    real_time_factor,
)


def test_stages_never_sum_to_more_than_the_wall():
    """A stage inside another stops the outer one's clock."""
    watch = Stopwatch(("never",))
    with watch.stage("outer"):
        time.sleep(0.02)
        with watch.stage("inner"):
            time.sleep(0.03)
    assert watch.stages_s["never"] == 0
    assert watch.stages_s["inner"] >= 0.03
    assert watch.stages_s["outer"] >= 0.02
    assert sum(watch.stages_s.values()) <= watch.wall_s


def test_a_stage_that_raises_is_counted_and_closed():
    watch = Stopwatch()
    with pytest.raises(ValueError, match="oops"), watch.stage("a"):
        raise ValueError("oops")
    with watch.stage("b"):
        pass
    assert set(watch.stages_s) == {"a", "b"}


def test_the_device_is_synchronised_at_every_edge():
    calls = []
    watch = Stopwatch(sync=lambda: calls.append(1))
    with watch.stage("a"):
        pass
    assert len(calls) == 2


def test_each_counts_only_the_making():
    watch = Stopwatch()
    assert list(watch.each("make", iter([1, 2]))) == [1, 2]
    for _ in watch.each("make", iter([1])):
        time.sleep(0.03)
    assert watch.stages_s["make"] < 0.02


def test_real_time_factor():
    assert real_time_factor(2.0, 8.0) == 0.25
    assert real_time_factor(2.0, 0.0) == float("inf")


def test_peak_memory_grows_with_an_array():
    before = peak_rss_mb()
    block = np.ones(int(before * 1e6 / 8) + 10_000_000)  # larger than all that was held before
    assert peak_rss_mb() > before + 50
    del block


def test_a_child_does_not_count_its_parents_memory():
    """It would hide growth: a small child of a large parent would seem large from the start."""
    block = np.ones(40_000_000)  # 320 MB in this process
    code = "from chatter_nb.timing import peak_rss_mb; print(peak_rss_mb())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 200
    del block


def test_records_are_kept_in_order(tmp_path):
    path = tmp_path / "new" / "history.jsonl"
    assert read_records(path) == []
    append_record(path, {"a": 1})
    append_record(path, {"a": "ü"})
    assert read_records(path) == [{"a": 1}, {"a": "ü"}]


def samples(median_s, count=15, spread=0.02, seed=0):
    return list(median_s * (1 + spread * np.random.default_rng(seed).standard_normal(count)))


def test_a_slow_down_of_fifteen_percent_is_a_regression():
    verdict = compare(samples(1.0), samples(1.15, seed=1))
    assert verdict.regression
    assert "slower by 1" in verdict.sentence


def test_no_change_and_small_or_good_changes_are_none():
    assert not compare(samples(1.0), samples(1.0, seed=1)).regression
    assert not compare(samples(1.0), samples(1.05, spread=0.001, seed=1)).regression
    faster = compare(samples(1.0), samples(0.7, seed=1))
    assert not faster.regression
    assert faster.sentence.startswith("faster by ")


def test_a_large_but_uncertain_change_is_noise():
    verdict = compare([1.0, 1.1, 1.2, 0.9, 1.3], [1.0, 2.0, 1.25, 1.15, 0.95])
    assert not verdict.regression
    assert verdict.sentence.startswith("within noise")


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="at least 5"):
        compare([1, 2, 3, 4], [1, 2, 3, 4, 5])
