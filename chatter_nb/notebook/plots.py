"""Draws a run: recordings, windows, pitch, and the time of each stage.

All figures have the same style: axes have units, a title says what the figure shows. Notebooks use
these functions through `show`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chatter_nb.audio.curves import PITCH_S, PitchTrack, duration_s, envelope, pitch_track
from chatter_nb.base.project import resolve_path
from chatter_nb.base.wording import count
from chatter_nb.engines.voices import library_of
from chatter_nb.pages.run_players import lossless_file
from chatter_nb.params.runs import ConvertParams
from chatter_nb.runs.record import OutputRecord, WindowRecord
from chatter_nb.runs.speech import Speech

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from chatter_nb.runs.convert_plan import ConversionPlan

MAX_ROWS = 8  # of a figure; a run may have hundreds of outputs
MAX_PITCH_ROWS = 4
MAX_NUMBERS = 55  # numbers of chunks in a row of a figure
UNMOVED = 0.02  # a ratio, a third of a semitone: a smaller change counts as none
PITCH_TICKS_HZ = (60, 80, 100, 130, 170, 220, 300, 400, 550, 700)

# Middle tones on a transparent ground: they read in a light notebook and in a dark one.
INK, ACCENT, GREY = "#4f86c0", "#d1602b", "#9a9a9a"  # data; what to look at; what was before
TEXT = "#777777"
_SHARED = "#d1602b40"  # the overlap of two windows
_LANES = ("#7fa3cc", "#b9cde4")  # neighbouring windows are in different lanes: both are visible
_STYLE: Any = {
    "figure.dpi": 110,
    "font.size": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), TEXT),
    **dict.fromkeys(("xtick.color", "ytick.color"), TEXT),
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def recordings(plan: ConversionPlan) -> Figure:
    """Draw the sources of a conversion and, below them, the target's recording."""
    drawn = plan.outputs[: MAX_ROWS - 1]
    paths = [("source", output.path) for output in drawn]
    target = target_path(plan.params)
    paths += [("target", target)] if target else []
    with house_figure(len(paths), height_in=1.6) as (figure, axes):
        for ax, (role, path) in zip(axes, paths, strict=True):
            _draw_recording(ax, role, path)
        axes[-1].set_xlabel("time (s)" + _left_out(len(plan.outputs) - len(drawn), "source"))
    return figure


def windows(speech: Speech) -> Figure:
    """Draw a conversion's windows over each output."""
    outputs = speech.record.outputs[:MAX_ROWS]
    with house_figure(len(outputs), height_in=2.4) as (figure, axes):
        for ax, output in zip(axes, outputs, strict=True):
            _draw_windows(ax, speech, output)
        left_out = len(speech.record.outputs) - len(outputs)
        axes[-1].set_xlabel("time (s)" + _left_out(left_out, "output"))
    return figure


def pitch(speech: Speech) -> Figure:
    """Draw the pitch of source and result in their first minute, and the target's median pitch."""
    params = ConvertParams.create(speech.record.params)
    source, target = resolve_path(params.source), target_path(params)
    target_hz = pitch_track(target).median_hz if target else None
    drawn = speech.record.outputs[:MAX_PITCH_ROWS]
    with house_figure(len(drawn), height_in=2.6) as (figure, axes):
        for ax, output in zip(axes, drawn, strict=True):
            before = pitch_track(source / output.source if source.is_dir() else source)
            after = pitch_track(lossless_file(speech, output))
            _draw_pitch(ax, before, after, target_hz)
            name = "" if len(speech.record.outputs) == 1 else f"{output.name}: "
            ax.set_title(name + pitch_finding(before.median_hz, after.median_hz, target_hz))
        label = "time (s)" if max(o.audio_s for o in drawn) <= PITCH_S else "first minute (s)"
        left_out = len(speech.record.outputs) - len(drawn)
        axes[-1].set_xlabel(label + _left_out(left_out, "output"))
    return figure


def stages(speech: Speech) -> Figure:
    """Draw the time of each stage, the longest at the top."""
    record = speech.record
    other_s = record.wall_s - sum(record.stages_s.values())
    spent = {**record.stages_s, "other": max(0.0, other_s)}
    spent = {name: s for name, s in sorted(spent.items(), key=lambda item: item[1]) if s >= 0.0005}
    top = list(spent)[-1]
    with house_figure(1, height_in=0.7 + 0.22 * len(spent)) as (figure, (ax,)):
        bars = ax.barh(list(spent), list(spent.values()), color=INK, height=0.7)
        ax.bar_label(bars, [f"{s:.2f} s" for s in spent.values()], padding=3)
        ax.set_xlabel("seconds")
        ax.set_xlim(0, spent[top] * 1.12)
        ax.set_title(
            f"{spent[top] / record.wall_s:.0%} of {record.wall_s:.1f} s went to {top}; "
            f"{clock(record.audio_s)} of audio, real-time factor {record.rtf:.3f}"
        )
    return figure


def target_path(params: ConvertParams) -> Path | None:
    """Return the path of the target's recording; None for the engine's own voice."""
    return library_of(params).find(params.target) if params.target else None


def pitch_finding(before_hz: float | None, after_hz: float | None, target_hz: float | None) -> str:
    """Return a sentence: how a conversion has moved the pitch."""
    target = f"; target {target_hz:.0f} Hz" if target_hz else ""
    if before_hz is None:
        return f"no pitch found in the source{target}"
    if after_hz is None:
        return f"no pitch found in the result; source {before_hz:.0f} Hz{target}"
    if abs(after_hz / before_hz - 1) < UNMOVED:
        return f"pitch stayed at {after_hz:.0f} Hz{target}"
    return f"pitch moved from {before_hz:.0f} to {after_hz:.0f} Hz{target}"


def clock(seconds: float) -> str:
    """Return a length as "4.2 s" or "6 min 12 s"."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def _draw_recording(ax: Axes, role: str, path: Path) -> None:
    end_s = duration_s(path)
    peak = _draw_wave(ax, path, end_s)
    ax.set_ylim(-y_limit(peak), y_limit(peak))
    peak_db = 20 * np.log10(max(peak, 1e-6))
    ax.set_title(f"{role}: {path.name}, {clock(end_s)}, its peak at {peak_db:.0f} dB of full scale")


def _draw_windows(ax: Axes, speech: Speech, output: OutputRecord) -> None:
    limit = y_limit(_draw_wave(ax, lossless_file(speech, output), output.audio_s))
    lane = limit * 0.24
    tops = [limit * 1.06 + lane * 1.15 * (number % 2) for number in range(2)]
    windows = speech.record.windows[output.first_chunk : output.first_chunk + output.chunks]
    heights = [tops[window.index % 2] for window in windows]
    for window, bottom in zip(windows, heights, strict=True):
        span = [(window.start_s, window.end_s - window.start_s)]
        ax.broken_barh(span, (bottom, lane), color=_LANES[window.index % 2], linewidth=0)
    for window, after in pairwise(windows):
        ax.axvspan(after.start_s, window.end_s, color=_SHARED, linewidth=0, zorder=0)
    seams_s = [samples / speech.record.sample_rate for samples in output.seams_samples]
    ax.vlines(seams_s, -limit, limit, color=ACCENT, linewidth=0.8)
    places = [
        (window.index, (window.start_s + window.end_s) / 2, bottom + lane * 0.9)
        for window, bottom in zip(windows, heights, strict=True)
    ]
    draw_numbers(ax, places, output.audio_s, color="black")
    ax.set_ylim(-limit, tops[1] + lane * 1.1)
    name = "" if output.name == "converted" else f"{output.name}: "
    ax.set_title(name + _windows_finding(windows, len(seams_s), output.audio_s))


def _windows_finding(inside: Sequence[WindowRecord], seams: int, length_s: float) -> str:
    if len(inside) < 2:
        return f"one window holds all {clock(length_s)}: no seam"
    longest_s = max(piece.end_s - piece.start_s for piece in inside)
    shared_s = max(window.end_s - after.start_s for window, after in pairwise(inside))
    return (
        f"{count(len(inside), 'window')} of up to {longest_s:.1f} s, "
        f"{count(seams, 'seam')} (orange); neighbours share {shared_s:.1f} s (shaded)"
    )


def _draw_pitch(ax: Axes, before: PitchTrack, after: PitchTrack, target_hz: float | None) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    ax.plot(before.times_s, before.f0_hz, color=GREY, linewidth=1.4, label="source")
    ax.plot(after.times_s, after.f0_hz, color=INK, linewidth=1.4, label="result")
    if target_hz:
        ax.axhline(target_hz, color=ACCENT, linewidth=1, linestyle="--", label="target's median")
    # A logarithmic axis, as the ear hears: the same intonation looks the same at any pitch.
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(FixedLocator(PITCH_TICKS_HZ))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    ax.set_xlim(0, max(before.times_s[-1], after.times_s[-1]))
    ax.set_ylabel("pitch (Hz)")
    ax.legend(ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)


def _draw_wave(ax: Axes, path: Path, end_s: float) -> float:
    """Draw a file up to `end_s`; return its peak."""
    times_s, low, high = envelope(path, end_s=end_s)
    ax.fill_between(times_s, low, high, color=INK, linewidth=0)
    ax.set_xlim(0, end_s)
    ax.set_ylabel("amplitude\n(full scale 1)")
    return float(np.abs([low, high]).max(initial=0))


def y_limit(peak: float) -> float:
    """Return the end of the y axis, with room for numbers; silence is not enlarged."""
    return max(0.05, peak) * 1.35


def draw_numbers(
    ax: Axes, places: Iterable[tuple[int, float, float]], length_s: float, *, color: str = TEXT
) -> None:
    """Draw numbers at (number, time in s, height), without those that would cover a neighbour."""
    free_from_s = 0.0
    for number, time_s, top in places:
        if time_s >= free_from_s:
            ax.text(time_s, top, str(number), ha="center", va="top", fontsize=7, color=color)
            free_from_s = time_s + length_s / MAX_NUMBERS


def _left_out(number: int, noun: str) -> str:
    return f"; {count(number, f'more {noun}')} not drawn" if number else ""


@contextmanager
def house_figure(rows: int, *, height_in: float, columns: int = 1) -> Iterator[tuple[Figure, Any]]:
    """Yield a figure and its axes; it is closed at the end, or a notebook would show it twice."""
    import matplotlib.pyplot as plt

    with plt.rc_context(_STYLE):
        size = (9.5, max(1.3, height_in * rows))
        figure, axes = plt.subplots(
            rows, columns, figsize=size, squeeze=False, layout="constrained"
        )
        yield figure, axes.ravel()
        plt.close(figure)
