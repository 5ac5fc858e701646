"""The speakers of a run on its pages: a colour each, and a legend of names and voices.

A colour never stands alone: the name is beside it. All are middle tones, of a contrast of at least
3 to white and to black. Who sees no red, no green or no blue still tells them apart, by a
difference (CIE76) of at least 18.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from chatter_nb.base.speakers import NARRATOR
from chatter_nb.runs.record import ChunkRecord, RunRecord

WAVE = "#6f97c4"  # the narrator's, as of a run with one speaker
_COLOURS = ("#bf2f77", "#8f8a2e", "#7f56c8", "#3a7a4a")  # the fifth speaker has the first again


class Shown(NamedTuple):
    """A speaker as a page shows it; the `voice` is empty if the record does not tell it."""

    name: str
    colour: str
    voice: str = ""


def speakers_of(record: RunRecord) -> dict[str, Shown]:
    """Return the speakers of a run's chunks by their name in its record; empty if there is one.

    A colour comes from the order of the cast: another text of the same cast has the same colours.
    """
    spoken = dict.fromkeys(chunk.speaker for chunk in record.chunks)
    if len(spoken) < 2:
        return {}
    names = dict.fromkeys([*record.params.get("cast", {}), *spoken])
    colours = {name: _COLOURS[n % len(_COLOURS)] for n, name in enumerate(n for n in names if n)}
    voices = {speaker.name: speaker.voice for speaker in record.speakers[::-1]}
    return {
        name: Shown(name or "narrator", colours.get(name, WAVE), voices.get(name, ""))
        for name in [NARRATOR, *names]
        if name in spoken
    }


def swatch(colour: str, text: str) -> str:
    """Return a text as HTML, with a stroke of a colour before it."""
    stroke = f"border-inline-start:.5em solid {colour};padding-inline-start:.4em"
    return f'<span style="display:inline-block;{stroke}"><bdi>{html.escape(text)}</bdi></span>'


def legend(speakers: Iterable[Shown]) -> str:
    """Return the list of speakers with their voices as HTML; "" without any."""
    items = "".join(
        f"<li>{swatch(s.colour, f'{s.name} ({s.voice})' if s.voice else s.name)}</li>"
        for s in speakers
    )
    style = "display:flex;flex-wrap:wrap;gap:.2em 1.2em;margin:.3em 0;padding:0;font-size:85%"
    return (
        f'<ul aria-label="speakers" style="list-style:none;{style}">{items}</ul>' if items else ""
    )


def who_speaks(chunk: ChunkRecord, speakers: Mapping[str, Shown]) -> str:
    """Return a chunk's speaker and mood as HTML."""
    shown = speakers[chunk.speaker]
    return swatch(shown.colour, ", ".join(filter(None, [shown.name, chunk.mood])))
