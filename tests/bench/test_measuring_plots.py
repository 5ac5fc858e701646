"""Figures of timings: drawn from made-up measurements, they state what was put in."""

import matplotlib.pyplot as plt
import pytest

from chatter_nb.bench import plots
from chatter_nb.bench.harness import compared
from chatter_nb.bench.history import Measurement, Round
from chatter_nb.bench.scaling import Point, Scaling
from chatter_nb.notebook.plots import ACCENT

STAGES_S = {"load": 0.0, "plan": 0.11, "synthesis": 2.7, "join": 0.1, "write": 0.12}
JITTER = (0.99, 1.0, 1.01, 0.995, 1.004, 1.012, 0.988, 1.002, 0.997)


def measured(day: int, *, factor=1.0, slower_s=0.0, rounds=9, audio_s=347.0, **changed):
    """A measurement whose synthesis takes `slower_s` more, and all of it `factor` times as long."""
    made = []
    for jitter in JITTER[:rounds]:
        spent = {name: seconds * jitter * factor for name, seconds in STAGES_S.items()}
        spent["synthesis"] += slower_s
        made.append(Round(wall_s=sum(spent.values()) + 0.04, audio_s=audio_s, stages_s=spent))
    values = {"recorded": f"2026-11-{day:02d}T10:00:00Z", "suite": "embedded", "workload": "ab"}
    values |= {"options": {}, "machine": "a processor, 2 cores", "device": "cpu", "versions": {}}
    values |= {"commit": f"{day:02d}c0ffee00", "rounds": tuple(made)}
    return Measurement(**values | changed)


def colours(ax) -> list[str]:
    """Of the medians, from left to right."""
    return [line.get_color() for line in ax.lines if line.get_markersize() == 5]


EARLIER = [measured(day) for day in (1, 2, 3)]


def test_history_says_slower_and_paints_only_the_last_point():
    now = measured(5, slower_s=0.6)
    (ax,) = plots.over_history([*EARLIER, now], [now]).axes
    assert ax.get_title(loc="left").startswith("embedded: slower by 20 % (99 % interval ")
    assert "against 03c0ffe of 2026-11-03" in ax.get_title(loc="left")
    assert [colour == ACCENT for colour in colours(ax)] == [False, False, False, True]
    assert "RTF" in ax.get_ylabel()


def test_history_says_within_noise_and_faster():
    for factor, told in ((1.001, "within noise"), (0.85, "faster by 1")):
        now = measured(5, factor=factor)
        (ax,) = plots.over_history([*EARLIER, now], [now]).axes
        assert told in ax.get_title(loc="left")
        assert ACCENT not in colours(ax)


def test_the_first_measurement_has_no_band():
    now = measured(5)
    (ax,) = plots.over_history([now], [now]).axes
    assert ax.get_title(loc="left") == "embedded: first measurement: nothing to compare with"
    assert len(colours(ax)) == 1
    assert not any("earlier" in text.get_text() for text in ax.get_legend().get_texts())


def test_history_leaves_out_what_is_not_alike():
    """Another machine, device or workload: neither drawn nor compared with."""
    now = measured(5)
    others = [measured(3, machine="another"), measured(3, device="cuda"), measured(3, workload="x")]
    (ax,) = plots.over_history([EARLIER[0], *others, now], [now]).axes
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ["01c0ffe\n11-01 10:00", "05c0ffe\n11-05 10:00"]


def test_the_y_axis_holds_every_round():
    now = measured(5, factor=3.0)
    (ax,) = plots.over_history([*EARLIER, now], [now]).axes
    low, high = ax.get_ylim()
    assert low < min(EARLIER[0].paces)
    assert high > max(now.paces)


def test_each_workload_has_a_row():
    both = [measured(5), measured(5, suite="convert")]
    assert len(plots.over_history(both, both).axes) == 2
    assert len(plots.by_stage(both, both).axes) == 2


def test_stages_stack_to_the_pace_and_name_what_changed():
    now = measured(5, slower_s=0.6)
    (ax,) = plots.by_stage([*EARLIER, now], [now]).axes
    assert ax.get_title(loc="left") == (
        "embedded: 90 % of the work is synthesis; since 03c0ffe: synthesis: +1.7 ms, all of it"
    )  # 0.6 s a round of 347 s, in the unit of the axis
    assert ax.get_xlabel() == "work for a second of audio (ms)"
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names[0] == "synthesis"
    assert set(names) == {"synthesis", "write", "plan", "join", "outside the stages"}
    last = [bars.patches[-1] for bars in ax.containers]
    assert all(len(bars.patches) == 4 for bars in ax.containers)
    stacked_ms = max(bar.get_x() + bar.get_width() for bar in last)
    assert stacked_ms == pytest.approx(1000 * sorted(now.paces)[4], rel=0.01)


def test_stages_that_did_not_change_say_so():
    now = measured(5)
    title = plots.by_stage([*EARLIER, now], [now]).axes[0].get_title(loc="left")
    assert title.endswith("; no stage changed since 03c0ffe beyond chance")


def test_work_without_audio_is_told_in_seconds():
    now = measured(5, audio_s=0.0)
    assert plots.over_history([now], [now]).axes[0].get_ylabel() == "work (s)"
    assert plots.by_stage([now], [now]).axes[0].get_xlabel() == "work (s)"


def test_work_without_stages_is_outside_them():
    """As that of the suite `batch`."""
    now = _without_stages(measured(5))
    (ax,) = plots.by_stage([now], [now]).axes
    assert ax.get_title(loc="left") == "embedded: 100 % of the work is outside the stages"


def _without_stages(one: Measurement) -> Measurement:
    rounds = tuple(r.model_copy(update={"stages_s": {}, "audio_s": 0.0}) for r in one.rounds)
    return one.model_copy(update={"rounds": rounds})


def test_scaling_tells_both_slopes():
    points = tuple(Point(n, 0.001 * n**1.5, n / 15, 300.0) for n in (500, 1500, 5000))
    figure = plots.against_length(Scaling("hibari", points))
    title = figure.axes[0].get_title(loc="left")
    assert title == "hibari: time grows as length^1.50; memory as length^0.00"
    assert all(ax.get_xscale() == ax.get_yscale() == "log" for ax in figure.axes)
    told = {text.get_text() for text in figure.axes[1].texts}
    assert told == {"300 MB"}


def test_scaling_without_memory_says_so():
    points = tuple(Point(n, 0.001 * n, n / 15, None) for n in (500, 1500))
    title = plots.against_length(Scaling("hibari", points)).axes[0].get_title(loc="left")
    assert title == "hibari: time grows as length^1.00; this system does not tell memory"


def ways(identical):
    bare = [0.46, 0.47, 0.48]
    factors = {"process_one_chunk": 1.0, "generate_tts to a wav": 1.08, "bare, thread pool": 0.65}
    return [
        compared(name, {"baseline": bare, "ours": [k * one for one in bare]}, identical)
        for name, k in factors.items()
    ]


def test_overhead_has_a_bar_a_way_and_a_line_for_the_absent():
    (ax,) = plots.overhead(ways(True), {"HTTP": "not here yet"}).axes
    assert ax.get_title(loc="left") == (
        "generate_tts to a wav takes 8 % longer than bare model calls; "
        "all ways make the same samples"
    )
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        *("bare model calls", "process_one_chunk", "generate_tts to a wav", "bare, thread pool"),
        "HTTP",
    ]
    assert [round(bar.get_width(), 3) for bar in ax.patches] == [0.47, 0.47, 0.508, 0.306]
    told = [text.get_text().strip() for text in ax.texts]
    assert told == ["470 ms", "470 ms  ±0 %", "508 ms  +8 %", "306 ms  −35 %", "not here yet"]


def test_overhead_shouts_where_samples_differ():
    title = plots.overhead(ways(False)).axes[0].get_title(loc="left")
    assert title.endswith("BUT NOT ALL WAYS MAKE THE SAME SAMPLES")


def test_overhead_claims_no_difference_that_chance_explains():
    sides = {"baseline": [0.40, 0.42, 0.46, 0.47, 0.50], "ours": [0.41, 0.43, 0.49, 0.50, 0.52]}
    results = [compared("generate_tts to a wav", sides, None)]
    (ax,) = plots.overhead(results).axes
    told = "generate_tts to a wav takes within noise as long as bare model calls"
    assert ax.get_title(loc="left") == told


def test_an_interval_of_the_median():
    """At 99 %: the ends of 8 to 11 samples, the 2nd and 11th of 12, the 3rd and 13th of 15."""
    assert plots._median_interval([3, 1, 2]) == (1, 3)
    assert plots._median_interval(range(8)) == (0, 7)
    assert plots._median_interval(range(12)) == (1, 10)
    assert plots._median_interval(range(11)) == (0, 10)
    assert plots._median_interval(range(15)) == (2, 12)


def test_figures_are_closed():
    """A notebook shows a figure that is returned, and every open one: it would be there twice."""
    now = measured(5)
    plots.over_history([now], [now])
    plots.overhead(ways(True))
    assert plt.get_fignums() == []
