"""Draws a comparison: spectra, loudness and pace.

The style is that of `notebook.plots`. A figure's title says what differs, or that nothing does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from chatter_nb.base.errors import shorten
from chatter_nb.notebook.compare.acoustics import loudness_unit
from chatter_nb.notebook.compare.compared import Compared, Comparison, Piece
from chatter_nb.notebook.compare.preferences import veiled
from chatter_nb.notebook.plots import ACCENT, GREY, INK, clock, house_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (INK, ACCENT, "#4f9467", "#8a63a9", "#b5892c", GREY)  # for more runs again, dashed
SAME_LOUDNESS = 0.5  # dB; nobody hears a smaller difference
LEAST_SPAN_DB = 3.0  # of the loudness axis: an inaudible difference must not look large
SAME_PACE = 0.02  # a share
SAME_BAND_DB = 1.0
AUDIBLE_DB = 50.0  # a band this far below the loudest band holds only noise
TICKS_HZ = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)


@veiled
def compare_spectra(comparison: Comparison) -> Figure:
    """Draw each run's mean spectrum in third octaves; its total is 0 dB, whatever its loudness."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    with house_figure(1, height_in=3.2) as (figure, (ax,)):
        for number, run in enumerate(comparison.runs):
            bands_hz = run.acoustics.spectrum.bands_hz
            ax.plot(bands_hz, _relative_db(run), label=_name(run), **_line(number))
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(FixedLocator(TICKS_HZ))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda hz, _: _hertz(hz)))
        top_db = max(float(_relative_db(run).max()) for run in comparison.runs)
        ax.set_ylim(top_db - 70, top_db + 5)
        ax.set_xlabel("frequency (Hz)")
        ax.set_ylabel("power in a third octave\n(dB of the run's total)")
        ax.legend(loc="lower left")
        ax.set_title(spectrum_finding(comparison))
    return figure


@veiled
def compare_levels(comparison: Comparison) -> Figure:
    """Draw each row's loudness, and its letters a second of speech (of conversions, its length)."""
    speaks = any(run.acoustics.letters_per_s for run in comparison.runs)
    with house_figure(2, height_in=2.1) as (figure, (upper, lower)):
        _draw_values(upper, comparison, lambda piece: piece.acoustics.loudness)
        _at_least(upper, LEAST_SPAN_DB)
        upper.set_ylabel(f"loudness ({loudness_unit()})")
        upper.set_title(loudness_finding(comparison))
        if speaks:
            _draw_values(lower, comparison, lambda piece: piece.acoustics.letters_per_s)
            lower.set_ylabel("letters a second\nof speech")
            lower.set_title(pace_finding(comparison))
        else:
            _draw_values(lower, comparison, lambda piece: piece.acoustics.audio_s)
            lower.set_ylabel("length (s)")
            lower.set_title(_length_finding(comparison.runs[-1], comparison.runs[0]))
            lower.set_ylim(bottom=0)
        lower.set_xlabel("row of the comparison")
        upper.legend(ncols=4, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    return figure


def loudness_finding(comparison: Comparison) -> str:
    """Return a sentence: which run is louder."""
    ranked = sorted(comparison.runs, key=lambda run: run.acoustics.loudness)
    apart = ranked[-1].acoustics.loudness - ranked[0].acoustics.loudness
    if apart < SAME_LOUDNESS:
        return f"equally loud, within {max(0.1, apart):.1f} dB"
    return f"{ranked[-1].label} is {apart:.1f} dB louder than {ranked[0].label}"


def pace_finding(comparison: Comparison) -> str:
    """Return a sentence: which run speaks faster, without its pauses."""
    paces = [(run.acoustics.letters_per_s or 0.0, run.label) for run in comparison.runs]
    (low, slow), (high, fast) = min(paces), max(paces)
    if not low:
        return f"no speech found in {slow}"
    if high / low - 1 < SAME_PACE:
        return f"equally fast, within {SAME_PACE:.0%}: {high:.1f} letters a second"
    return f"{slow} speaks {1 - low / high:.0%} slower than {fast}, pauses apart"


def spectrum_finding(comparison: Comparison) -> str:
    """Return a sentence: where another run's spectrum is furthest from that of the first run."""
    first, *others = comparison.runs
    distances = [(*_furthest(first, other), other.label) for other in others]
    apart_db, band_hz, label = max(distances, key=lambda distance: abs(distance[0]))
    if abs(apart_db) < SAME_BAND_DB:
        return f"no band differs by more than {SAME_BAND_DB:.0f} dB at equal level"
    way = "above" if apart_db > 0 else "below"
    return (
        f"at equal level {label} differs most at {_hertz(band_hz)}Hz: "
        f"{abs(apart_db):.1f} dB {way} {first.label}"
    )


def _furthest(first: Compared, other: Compared) -> tuple[float, float]:
    """Return the largest difference (dB) and its band (Hz), of the bands audible in either run."""
    size = min(len(run.acoustics.spectrum.bands_hz) for run in (first, other))
    a, b = _relative_db(first)[:size], _relative_db(other)[:size]
    audible = np.maximum(a, b) > max(a.max(), b.max()) - AUDIBLE_DB
    apart_db = np.where(audible, b - a, 0)
    most = int(np.argmax(np.abs(apart_db)))
    return float(apart_db[most]), float(first.acoustics.spectrum.bands_hz[most])


def _relative_db(run: Compared) -> np.ndarray:
    level_db = run.acoustics.spectrum.level_db
    return level_db - 10 * np.log10(np.sum(10 ** (level_db / 10)))


def _draw_values(ax: Axes, comparison: Comparison, value: Callable[[Piece], float | None]) -> None:
    from matplotlib.ticker import MaxNLocator

    for number, run in enumerate(comparison.runs):
        pieces = [(i, row[number]) for i, row in enumerate(comparison.rows)]
        points = [(i, value(piece)) for i, piece in pieces if piece]
        x, y = [i for i, _ in points], [np.nan if y is None else y for _, y in points]
        ax.plot(x, y, marker="o", markersize=4, label=_name(run), **_line(number))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.margins(x=0.03, y=0.2)


def _at_least(ax: Axes, span: float) -> None:
    """Widen the y axis around its middle until it is at least `span` long."""
    low, high = ax.get_ylim()
    more = max(0.0, span - (high - low)) / 2
    ax.set_ylim(low - more, high + more)


def _length_finding(run: Compared, first: Compared) -> str:
    length_s = run.shown_s
    finding = f"{_name(run)}: {clock(length_s)}"
    apart = length_s / max(first.shown_s, 0.001) - 1
    if run is first:
        return finding
    if abs(apart) < 0.01:
        return f"{finding}, as long as {first.label}"
    return f"{finding}, {abs(apart):.0%} {'longer' if apart > 0 else 'shorter'} than {first.label}"


def _line(number: int) -> dict[str, Any]:
    dashed = number >= len(COLOURS)
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": "--" if dashed else "-"}


def _name(run: Compared) -> str:
    return f"{run.label}, {shorten(run.name, 30)}"


def _hertz(hz: float) -> str:
    return f"{hz / 1000:.3g} k" if hz >= 1000 else f"{hz:.0f} "
