"""Figures of timings: over history, by stage, against text length, around the model.

They are drawn from measurements, in the style of `notebook.plots`; each title states the finding.
Not here: the measuring (`measure`, `scaling`, `bench.suites`).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chatter_nb.bench import measure
from chatter_nb.bench.harness import Result
from chatter_nb.bench.history import OUTSIDE, Measurement, earlier
from chatter_nb.bench.params import LEAST_SAMPLES
from chatter_nb.bench.scaling import Scaling
from chatter_nb.bench.suites.overhead import BARE, RUN
from chatter_nb.bench.verdict import attribute, compare, percent
from chatter_nb.notebook.plots import ACCENT, GREY, INK, TEXT, house_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_DRAWN = 24  # measurements over history: the labels of more would overlap
MOST_BARS = 8  # of stages
BAND = (5, 95)  # percentiles of all earlier rounds
ROUNDS_FOR_99 = 8  # fewer have no interval of the median at 99 %: the range of all is drawn
SMALL_SHARE = 0.01  # of the work: smaller stages are drawn together
NOTHING_S = 1e-6  # what a stage that did nothing still takes
SMALL = "smaller stages"
_STAGE_COLOURS = ("#3b6ea8", "#d1602b", "#5a9e6f", "#b58fc2", "#c9a227", "#7fa3cc", "#a0674b")
_REST_COLOURS = {SMALL: "#c9c9c9", OUTSIDE: "#8a8a8a"}


def over_history(history: Sequence[Measurement], measured: Sequence[Measurement]) -> Figure:
    """Seconds of work for a second of audio (RTF) at each commit, a row for each of `measured`.

    A row shows only comparable measurements of the history: of the same work, machine and device.
    The title is the verdict against the latest of these.
    """
    with house_figure(len(measured), height_in=3.2) as (figure, axes):
        for ax, measurement in zip(axes, measured, strict=True):
            _draw_history(ax, earlier(history, measurement), measurement)
            ax.set_title(f"{measurement.suite}: {measure.against_history(measurement, history)}")
        axes[-1].set_xlabel("commit, day and hour (+: with changes that were not committed)")
    return figure


def by_stage(history: Sequence[Measurement], measured: Sequence[Measurement]) -> Figure:
    """Seconds by stage for a second of audio, stacked: each of `measured`, and those before it."""
    before = [earlier(history, measurement)[1 - MOST_BARS :] for measurement in measured]
    tallest = max(map(len, before)) + 1
    with house_figure(len(measured), height_in=1.1 + 0.36 * tallest) as (figure, axes):
        for ax, past, measurement in zip(axes, before, measured, strict=True):
            _draw_stages(ax, [*past, measurement], rows=tallest)
            ax.set_title(f"{measurement.suite}: {_stage_finding(past, measurement)}")
    return figure


def against_length(scaling: Scaling) -> Figure:
    """Time and memory against the length of the text, both axes logarithmic."""
    chars = [point.chars for point in scaling.points]
    memory_mb = [point.peak_rss_mb for point in scaling.points]
    with house_figure(2, height_in=2.4) as (figure, (time_ax, memory_ax)):
        wall_s = [point.wall_s for point in scaling.points]
        _draw_power(time_ax, chars, wall_s, scaling.time_slope, _seconds)
        time_ax.set_ylabel("work (s)")
        time_ax.set_title(scaling.finding)
        if scaling.memory_slope is None:
            memory_ax.set_axis_off()
        else:
            _draw_power(memory_ax, chars, memory_mb, scaling.memory_slope, "{:.0f} MB".format)
            memory_ax.set_ylabel("most memory (MB)")
        for ax in (time_ax, memory_ax):
            ax.set_xlabel("length of the text (characters)")
    return figure


def overhead(results: Sequence[Result], absent: Mapping[str, str] | None = None) -> Figure:
    """Ways to call a model, each against bare calls: the time spent around the model's own work.

    `absent` names ways that were not compared, with the reason.
    """
    absent = absent or {}
    samples_s = {BARE: results[0].samples["baseline"]}
    samples_s |= {result.name: result.samples["ours"] for result in results}
    rows = len(samples_s) + len(absent)
    with house_figure(1, height_in=1.1 + 0.36 * rows) as (figure, (ax,)):
        _draw_ways(ax, samples_s, absent)
        ax.set_title(_overhead_finding(results))
    return figure


def _draw_history(ax: Axes, past: Sequence[Measurement], measurement: Measurement) -> None:
    shown = [*past[1 - MOST_DRAWN :], measurement]
    if past:
        low, high = np.percentile([pace for before in past for pace in before.paces], BAND)
        ends = f"{BAND[0]}th to {BAND[1]}th percentile"
        ax.axhspan(low, high, color=GREY, alpha=0.22, linewidth=0, label=f"earlier rounds, {ends}")
    is_slower = bool(past) and compare(past[-1].judged_s, measurement.judged_s).regression
    for place, drawn in enumerate(shown):
        colour = ACCENT if is_slower and drawn is measurement else INK
        _draw_median(ax, place, drawn.paces, colour=colour)
    few = any(len(drawn.rounds) < ROUNDS_FOR_99 for drawn in shown)
    ax.plot([], [], "o", color=INK, label=f"median and {'range' if few else '99 % interval'}")
    ax.plot([], [], ".", color=GREY, markersize=4, label="each round")
    ax.set_xlim(-0.6, max(len(shown), 4) - 0.4)
    ax.set_xticks(range(len(shown)), [f"{drawn.label}\n{_when(drawn)}" for drawn in shown])
    ax.tick_params(axis="x", labelsize=8, rotation=0 if len(shown) <= MOST_DRAWN // 2 else 90)
    _limit_paces(ax, [pace for drawn in shown for pace in drawn.paces])
    has_audio = bool(measurement.rounds[0].audio_s)
    ax.set_ylabel("RTF: work for a second\nof audio (s)" if has_audio else "work (s)")
    ax.legend(ncols=3, loc="upper right", fontsize=8)


def _draw_median(ax: Axes, place: int, samples: Sequence[float], *, colour: str) -> None:
    low, high = _median_interval(samples)
    beside = place + 0.12  # the rounds stand beside their median, so that both are seen
    ax.plot([beside] * len(samples), samples, ".", color=GREY, markersize=4)
    ax.vlines(place, low, high, color=colour, linewidth=1.6)
    ax.plot(place, statistics.median(samples), "o", color=colour, markersize=5)


def _limit_paces(ax: Axes, values: Sequence[float]) -> None:
    """Limit the y axis to the rounds, but to at least ± 15 %: small noise must look small."""
    middle = statistics.median(values)
    low, high = min(*values, middle * 0.85), max(*values, middle * 1.15)
    ax.set_ylim(low - 0.03 * middle, high + 0.3 * (high - low))  # room for the legend


def _draw_stages(ax: Axes, shown: Sequence[Measurement], *, rows: int) -> None:
    has_audio = bool(shown[-1].rounds[0].audio_s)
    scale, unit = (1000, "work for a second of audio (ms)") if has_audio else (1, "work (s)")
    parts = _with_small_together([drawn.spent_by_stage for drawn in shown])
    places, left = np.arange(len(shown)), np.zeros(len(shown))
    colours = iter(_STAGE_COLOURS * 3)
    for name in parts[0]:
        widths = np.array([scale * part[name] for part in parts])
        colour = _REST_COLOURS.get(name) or next(colours)
        ax.barh(places, widths, left=left, height=0.62, color=colour, label=name)
        left += widths
    ax.set_yticks(places, [f"{drawn.label}  {_when(drawn)}" for drawn in shown])
    for place, end in enumerate(left):
        ax.text(end, place, f" {end:#.3g}", va="center", fontsize=8)
    ax.set_xlim(0, left.max() * 1.1)
    ax.set_ylim(rows - 0.4, -0.6)  # the newest at the foot; bars of all rows are equally thick
    ax.set_xlabel(unit)
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _with_small_together(parts: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """Seconds by stage for each of `parts`, with equal names in all: the largest stage first.

    Stages that nowhere take a hundredth of the work are added up as `SMALL`.
    """
    largest: dict[str, float] = {}
    for part in parts:
        for name, spent in part.items():
            largest[name] = max(largest.get(name, 0.0), spent / sum(part.values()))
    names = sorted(largest, key=lambda name: -largest[name])
    drawn = [name for name in names if largest[name] >= SMALL_SHARE and name != OUTSIDE]
    together = []
    for part in parts:
        stages = {name: part.get(name, 0.0) for name in [*drawn, OUTSIDE]}
        stages[SMALL] = sum(part.values()) - sum(stages.values())
        together.append(stages)
    seen = [name for name in together[0] if max(part[name] for part in together) > NOTHING_S]
    return [{name: part[name] for name in seen} for part in together]


def _draw_power(
    ax: Axes, chars: Sequence[int], values: Sequence[Any], k: float, as_text: Callable[[float], str]
) -> None:
    """Points on logarithmic axes, the fitted power and, dashed, the line in proportion to length.

    `k` is the exponent of the fit; `as_text` writes a value beside its point.
    """
    ax.set_xscale("log")
    ax.set_yscale("log")
    ends = np.array([chars[0], chars[-1]])
    middle = np.exp(np.mean(np.log(chars))), np.exp(np.mean(np.log(values)))
    for slope, style, colour, name in (
        (1.0, "--", GREY, "in proportion to length"),
        (k, "-", INK, "fitted"),
    ):
        label = f"length^{slope:.2f}".replace("-", "−") + f", {name}"
        ax.plot(ends, middle[1] * (ends / middle[0]) ** slope, style, color=colour, label=label)
    ax.plot(chars, values, "o", color=INK)
    for x, y in zip(chars, values, strict=True):
        ax.annotate(as_text(y), (x, y), (0, 6), textcoords="offset points", ha="center", fontsize=8)
    _plain_ticks(ax, chars)
    ax.legend(loc="upper left")


def _plain_ticks(ax: Axes, chars: Sequence[int]) -> None:
    """Ticks in plain numbers: the lengths on the x axis, 1, 2 and 5 times powers of ten on y."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator, StrMethodFormatter

    ax.set_xticks(chars, [f"{length:,}".replace(",", " ") for length in chars])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    low, high = ax.get_ylim()
    ax.set_ylim(low / 1.3, high * 1.7)  # room for the labels of the points


def _draw_ways(
    ax: Axes, samples_s: Mapping[str, Sequence[float]], absent: Mapping[str, str]
) -> None:
    medians = {name: statistics.median(samples) for name, samples in samples_s.items()}
    bare_s, *_ = medians.values()
    for place, (name, samples) in enumerate(samples_s.items()):
        ax.barh(place, medians[name], height=0.62, color=INK if place else GREY)
        ax.hlines(place, min(samples), max(samples), color=TEXT, linewidth=1)
        change = f"  {_change(medians[name] / bare_s)}" if place else ""
        end = max(medians[name], *samples)
        ax.text(end, place, f"  {_seconds(medians[name])}{change}", va="center", fontsize=8)
    for place, reason in enumerate(absent.values(), len(samples_s)):
        ax.text(0, place, f"  {reason}", va="center", color=GREY, fontstyle="italic")
    names = [*samples_s, *absent]
    ax.axvline(bare_s, color=GREY, linestyle="--", linewidth=1, zorder=0)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(0, max(max(samples) for samples in samples_s.values()) * 1.22)
    ax.set_xlabel("work (s), median of the rounds; thin line: fastest to slowest round")


def _stage_finding(past: Sequence[Measurement], measurement: Measurement) -> str:
    """The stage that takes most, and the stages that changed since the measurement before.

    Seconds are for a second of audio, as in the bars.
    """
    spent = measurement.spent_by_stage
    top = max(spent, key=lambda name: spent[name])
    finding = f"{percent(spent[top] / sum(spent.values()))} of the work is {top}"
    if not past:
        return finding
    before = [each.for_a_second for each in past[-1].rounds]
    changes = attribute(before, [each.for_a_second for each in measurement.rounds])
    since = f"since {past[-1].label}"
    if not changes:
        return f"{finding}; no stage changed {since} beyond chance"
    return f"{finding}; {since}: {'; '.join(map(str, changes[:2]))}"


def _overhead_finding(results: Sequence[Result]) -> str:
    """What the whole run costs beside bare calls; without a whole run, the slowest way's cost."""
    by_name = {result.name: result for result in results}
    result = by_name.get(RUN, max(results, key=lambda result: result.ours_s / result.baseline_s))
    finding = f"{result.name} takes {_in_words(result)} bare model calls"
    identical = [result.identical for result in results]
    if False in identical:
        return f"{finding}; BUT NOT ALL WAYS MAKE THE SAME SAMPLES"
    return finding if None in identical else f"{finding}; all ways make the same samples"


def _in_words(result: Result) -> str:
    """A ratio in words, such as "8 % longer than"; from 5 rounds on, whether it is noise."""
    ratio, sides = result.ours_s / result.baseline_s, result.samples
    share = percent(abs(ratio - 1))
    enough = min(map(len, sides.values())) >= LEAST_SAMPLES
    if enough and not compare(sides["baseline"], sides["ours"]).significant:
        return "within noise as long as"
    return "as long as" if share == "0 %" else f"{share} {'longer' if ratio > 1 else 'less'} than"


def _median_interval(samples: Sequence[float]) -> tuple[float, float]:
    """The median's interval at 99 %, by order statistics; of fewer than 8 samples, their range."""
    from scipy.stats import quantile_test

    if len(samples) < ROUNDS_FOR_99:
        return min(samples), max(samples)
    low, high = quantile_test(samples, p=0.5).confidence_interval(0.99)
    return float(low), float(high)


def _change(ratio: float) -> str:
    change = percent(ratio - 1, sign="+")
    return "±0 %" if change == "+0 %" else change


def _when(measurement: Measurement) -> str:
    """Month, day, hour and minute, UTC."""
    return measurement.recorded[5:16].replace("T", " ")


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
