"""Timing: stages that add up, and a rule that tells a slow-down from noise."""

import subprocess
import sys
import time

import numpy as np
import pytest

from chatter_nb.base.timing import Stopwatch, real_time_factor
from chatter_nb.bench.verdict import Verdict, _counted, _normal, compare, shift


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


GROWTH = """
import numpy as np
from chatter_nb.base.timing import peak_rss_mb
before = peak_rss_mb()
block = np.ones(int(before * 1e6 / 8) + 10_000_000)  # larger than all that was held before
print(peak_rss_mb() - before)
"""


def test_peak_memory_grows_with_an_array():
    """In a process of its own: that of the tests may have held gigabytes already."""
    command = [sys.executable, "-c", GROWTH]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) > 50


def test_a_child_does_not_count_its_parents_memory():
    """It would hide growth: a small child of a large parent would seem large from the start."""
    block = np.ones(40_000_000)  # 320 MB in this process
    code = "from chatter_nb.base.timing import peak_rss_mb; print(peak_rss_mb())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 200
    del block


def samples(median_s, count=15, spread=0.02, seed=0):
    return list(median_s * (1 + spread * np.random.default_rng(seed).standard_normal(count)))


def test_a_slow_down_of_fifteen_percent_is_a_regression():
    verdict = compare(samples(1.0), samples(1.15, seed=1))
    assert verdict.regression
    assert verdict.low < 1.15 < verdict.high
    assert verdict.sentence == "slower by 16 % (99 % interval 14–17 %)"


def test_no_change_is_within_noise():
    verdict = compare(samples(1.0), samples(1.0, seed=1))
    assert not verdict.significant
    assert verdict.sentence == "within noise (+0.6 %, 99 % interval −1.0 to +2 %)"


def test_a_small_slow_down_is_told_but_is_no_regression():
    verdict = compare(samples(1.0, spread=0.001), samples(1.05, spread=0.001, seed=1))
    assert verdict.significant
    assert not verdict.regression
    told = "slower by 5 % (99 % interval 5–5 %), under the 10 % of a regression"
    assert verdict.sentence == told


def test_faster_is_told_with_its_interval_in_order():
    verdict = compare(samples(1.0), samples(0.9, seed=1))
    assert not verdict.regression
    assert verdict.sentence == "faster by 9 % (99 % interval 8–11 %)"


@pytest.mark.parametrize(
    ("ratio", "low", "regression"), [(1.1, 1.01, True), (1.0999, 1.01, False), (1.5, 0.99, False)]
)
def test_a_regression_is_a_tenth_and_beyond_chance(ratio, low, regression):
    assert Verdict(ratio, low, 2.0, 0.001).regression is regression


def test_a_large_but_uncertain_change_is_noise():
    verdict = compare([1.0, 1.1, 1.2, 0.9, 1.3], [1.0, 2.0, 1.25, 1.15, 0.95])
    assert not verdict.regression
    assert verdict.sentence.startswith("within noise (")


def test_too_few_samples_and_no_time_at_all_are_refused():
    with pytest.raises(ValueError, match="at least 5 samples a side, not 5 and 4"):
        compare([1, 2, 3, 4, 5], [1, 2, 3, 4])
    with pytest.raises(ValueError, match="above 0"):
        compare([1, 2, 3, 4, 5], [1, 2, 3, 4, 0])


@pytest.mark.parametrize("sizes", [(5, 5), (6, 11), (9, 9), (30, 20)])
def test_the_chance_is_scipys_exact_one(sizes):
    """The interval leaves out 0 just where the Mann-Whitney test says p < 0.01."""
    from scipy.stats import mannwhitneyu

    draws = np.random.default_rng(3)
    for apart in np.linspace(-2, 2, 9):
        one, other = draws.normal(size=sizes[0]), draws.normal(apart, size=sizes[1])
        found = shift(one, other)
        assert found.p == pytest.approx(mannwhitneyu(one, other, method="exact").pvalue)
        assert found.significant == (found.p < 0.01)
        assert found.low <= found.estimate <= found.high


def test_equal_samples_do_not_differ():
    found = shift([1.0] * 9, [1.0] * 9)
    assert (found.low, found.estimate, found.high, found.p) == (0, 0, 0, 1)


def test_one_outlier_moves_nothing_much():
    calm = compare(samples(1.0), samples(1.15, seed=1))
    wild = compare(samples(1.0), [*samples(1.15, seed=1)[1:], 50.0])
    assert wild.ratio == pytest.approx(calm.ratio, rel=0.01)
    assert wild.regression


def test_intervals_hold_the_truth_in_99_of_100_cases():
    """Timings with a tail of slow rounds: log-normal, a tenth of them three times as slow."""
    draws, missed = np.random.default_rng(4), 0
    for _ in range(1000):
        sides = draws.lognormal(0, 0.05, (2, 9)) * np.where(draws.random((2, 9)) < 0.1, 3, 1)
        verdict = compare(sides[0], sides[1] * 1.15)
        missed += not verdict.low <= 1.15 <= verdict.high
    assert missed <= 20  # ten expected; more than twenty would come of chance once in a thousand


def test_sentences_at_the_edges():
    """What is told as 10 % has reached it; nothing is told as 0.0 %."""
    near = Verdict(1.0996, 1.08, 1.12, 0.001)
    assert not near.regression
    assert near.sentence.startswith("slower by 9.9 %")
    assert Verdict(1.1, 1.08, 1.12, 0.001).sentence.startswith("slower by 10.0 %")
    tiny = Verdict(0.9996, 0.9991, 0.9999, 0.001)
    assert tiny.sentence.startswith("faster by less than 0.1 %")


def test_many_samples_are_compared_by_the_normal_curve():
    """At 60 a side, where counting ends, the two agree."""
    exact, curve = _counted(60, 60), _normal(60, 60)
    assert max(abs(one - other) for one, other in zip(exact, curve, strict=True)) < 1e-3
    many = shift([1.0 + n / 1000 for n in range(300)], [1.2 + n / 1000 for n in range(300)])
    assert many.significant
    assert many.low < 0.2 < many.high
