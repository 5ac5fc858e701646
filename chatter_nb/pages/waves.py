"""A waveform as SVG: its peaks, its seams, and a colour for each speaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from chatter_nb.pages.speakers import WAVE, Shown

WAVE_BINS = 600  # a stretch for two pixels of a wide notebook; about 5 kB a player
FULL_SCALE = 127  # peaks are whole numbers: half the bytes of decimals, finer than a pixel
HEIGHT = 48  # of a drawn waveform, in units of its SVG
QUIETEST = 0.05 * FULL_SCALE  # a lower peak is drawn at this scale: silence stays flat
_SEAM = "#d1602b"  # a mid tone, as `WAVE`: they read on white and on black


@dataclass(frozen=True)
class Peaks:
    """Lowest and highest sample of each stretch, ±127 at full scale; both of the same length."""

    low: tuple[int, ...]
    high: tuple[int, ...]

    @property
    def loudest(self) -> int:
        """The largest distance from 0, 0 to 127; 0 without any stretch."""
        return max((abs(level) for level in (*self.low, *self.high)), default=0)


@dataclass(frozen=True)
class Mark:
    """A chunk or window of the audio; `start_s` and `end_s` count from the start of the player."""

    start_s: float
    end_s: float
    number: int
    text: str = ""
    speaker: Shown | None = None  # of a run with several


@dataclass(frozen=True)
class Picture:
    """A player's waveform, from `from_s` in its file. `chapters` are starts (s) and titles."""

    seconds: float
    peaks: Peaks
    marks: Sequence[Mark] = ()
    seams_s: Sequence[float] = ()
    from_s: float = 0.0
    noun: str = "chunk"
    chapters: Sequence[tuple[float, str]] = ()

    @property
    def speakers(self) -> list[Shown]:
        """The speakers of its marks, none if they have none."""
        return list(dict.fromkeys(mark.speaker for mark in self.marks if mark.speaker))


def peaks_of(low: np.ndarray, high: np.ndarray) -> Peaks:
    """Return peaks from the lowest and highest sample of each stretch; both of shape (bins,).

    Full scale is 1; larger values are clipped, NaN counts as 0.
    """
    return Peaks(_levels(low), _levels(high))


def outline(peaks: Peaks, *, full: float) -> str:
    """Return an SVG path around the signal; a peak of `full` is half of `HEIGHT`.

    The path runs along the top and back along the bottom, a unit for each stretch. Relative whole
    numbers keep it at about a kilobyte.
    """
    if len(peaks.low) < 2:
        return ""
    scale = (HEIGHT / 2 - 1) / max(full, QUIETEST)
    top = [round(HEIGHT / 2 - max(0, high) * scale) for high in peaks.high]
    # + 1: silence is a thin line.
    bottom = [round(HEIGHT / 2 - min(0, low) * scale) + 1 for low in peaks.low]
    forth, back = _line(top, 1), _line(bottom[::-1], -1)
    return f"M0 {top[0]}l{forth}v{bottom[-1] - top[-1]}l{back}z"


def waveform_svg(picture: Picture) -> str:
    """Return the waveform as SVG, on a transparent ground, as wide as its place."""
    width = max(1, len(picture.peaks.low) - 1)
    at = [width * seam_s / picture.seconds for seam_s in picture.seams_s]
    seams = "".join(f"M{x:.2f} 0v{HEIGHT}" for x in at)
    wave = f'd="{outline(picture.peaks, full=picture.peaks.loudest)}"/>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" '
        f'preserveAspectRatio="none"><path fill="{WAVE}" {wave}{_coloured(picture, width, wave)}'
        f'<path stroke="{_SEAM}" vector-effect="non-scaling-stroke" d="{seams}"/></svg>'
    )


def _coloured(picture: Picture, width: int, wave: str) -> str:
    """Return the waveform again, as far as others than the narrator speak, in their colours."""
    stretches: dict[str, str] = {}
    starts_s = [*(mark.start_s for mark in picture.marks), picture.seconds]
    for mark, *places_s in zip(picture.marks, starts_s, starts_s[1:], strict=False):
        if mark.speaker and mark.speaker.colour != WAVE:
            start, end = (width * at_s / picture.seconds for at_s in places_s)
            stretch = f"M{start:.1f} 0h{end - start:.1f}v{HEIGHT}H{start:.1f}z"
            stretches[mark.speaker.colour] = stretches.get(mark.speaker.colour, "") + stretch
    if not stretches:
        return ""
    paths = "".join(f'<path fill="{colour}" d="{d}"/>' for colour, d in stretches.items())
    return f'<clipPath id="w"><path {wave}</clipPath><g clip-path="url(#w)">{paths}</g>'


def _levels(samples: np.ndarray) -> tuple[int, ...]:
    scaled = np.clip(np.nan_to_num(samples), -1, 1) * FULL_SCALE
    return tuple(int(level) for level in np.rint(scaled))


def _line(levels: Sequence[int], step: int) -> str:
    pairs = " ".join(f"{step} {after - before}" for before, after in pairwise(levels))
    return pairs.replace(" -", "-")
