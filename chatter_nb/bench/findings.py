"""What measurements say, in a line each: the titles of the plots, and the numbers under them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from chatter_nb.bench.attribution import OUTSIDE, attribute, spent_s
from chatter_nb.bench.harness import Result
from chatter_nb.bench.history import Measurement, Round, judged_s
from chatter_nb.bench.ranks import LEAST_SAMPLES
from chatter_nb.bench.scaling import Scaling
from chatter_nb.bench.suites.overhead import RUN
from chatter_nb.bench.verdict import compare, percent

ROUNDS_FOR_99 = 8  # fewer have no interval of the median at 99 %: the range of all is drawn


def stage_finding(past: Sequence[Measurement], measurement: Measurement) -> str:
    """The stage that takes most, and which stages changed since the latest measurement before.

    In what the bars below it are drawn in: for a second of audio.
    """
    spent = spent_by_stage(measurement)
    top = max(spent, key=lambda name: spent[name])
    finding = f"{percent(spent[top] / sum(spent.values()))} of the work is {top}"
    if not past:
        return finding
    changes = attribute(_for_a_second(past[-1]), _for_a_second(measurement))
    since = f"since {past[-1].label}"
    if not changes:
        return f"{finding}; no stage changed {since} beyond chance"
    return f"{finding}; {since}: {'; '.join(map(str, changes[:2]))}"


def scaling_finding(scaling: Scaling) -> str:
    """Both exponents, such as "time grows as length^1.02; memory as length^0.03"."""
    finding = f"{scaling.engine}: time grows as length^{scaling.time_slope:.2f}"
    if scaling.memory_slope is None:
        return f"{finding}; this system does not tell memory"
    return f"{finding}; memory as length^{scaling.memory_slope:.2f}".replace("^-", "^−")


def overhead_finding(results: Sequence[Result]) -> str:
    """What the whole run costs beside bare calls; otherwise, what the dearest way does."""
    named = {result.name: result for result in results}
    result = named.get(RUN, max(results, key=lambda one: one.ours_s / one.baseline_s))
    told = f"{result.name} takes {_told_change(result)} bare model calls"
    if any(one.identical is False for one in results):
        return f"{told}; BUT NOT ALL WAYS MAKE THE SAME SAMPLES"
    if any(one.identical is None for one in results):
        return told
    return f"{told}; all ways make the same samples"


def spent_by_stage(measurement: Measurement) -> dict[str, float]:
    """Seconds by stage for a second of audio, medians over the rounds; what is outside them too.

    For work without audio, such as loading a model, seconds a round.
    """
    rounds = measurement.rounds
    names = [*dict.fromkeys(name for one in rounds for name in one.stages_s), OUTSIDE]
    medians = {
        name: statistics.median(spent_s(one, name) / (one.audio_s or 1) for one in rounds)
        for name in names
    }
    return {name: max(0.0, spent) for name, spent in medians.items()}


def paces(measurement: Measurement) -> list[float]:
    """What each round is judged by, for a second of audio: an RTF. Without audio, seconds."""
    rounds = measurement.rounds
    pairs = zip(rounds, judged_s(measurement.suite, rounds), strict=True)
    return [seconds / (one.audio_s or 1) for one, seconds in pairs]


def median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """The median's interval at 99 %, by order statistics; of fewer than 8 samples, their range."""
    ordered, size = sorted(samples), len(samples)
    outside, chance = 0, 0.5**size  # of the median below all, then below all but one …
    term = chance
    while 2 * chance <= 0.01 and size >= ROUNDS_FOR_99:
        outside += 1
        term *= (size - outside + 1) / outside
        chance += term
    first = max(0, outside - 1)
    return ordered[first], ordered[-1 - first]


def _for_a_second(measurement: Measurement) -> list[Round]:
    """The rounds as if each had made a second of audio; without audio, as they are."""
    found = []
    for one in measurement.rounds:
        size = one.audio_s or 1
        stages_s = {name: spent / size for name, spent in one.stages_s.items()}
        scaled = {"wall_s": one.wall_s / size, "stages_s": stages_s}
        found.append(one.model_copy(update=scaled))
    return found


def _told_change(result: Result) -> str:
    """In words, as far as chance does not explain it; fewer than 5 rounds cannot tell."""
    ratio, sides = result.ours_s / result.baseline_s, result.samples
    share = percent(abs(ratio - 1))
    enough = min(map(len, sides.values())) >= LEAST_SAMPLES
    if enough and not compare(sides["baseline"], sides["ours"]).significant:
        return "within noise as long as"
    return "as long as" if share == "0 %" else f"{share} {'longer' if ratio > 1 else 'less'} than"
