"""Players for notebooks and forms: an audio element below a waveform that marks the seams.

JupyterLab drops scripts and styles from notebooks that it does not trust, and widgets never run a
`<script>`. What must work is therefore an `<img>` and an `<audio>`; `pages/player.js`, the image's
`onload`, adds the playhead, clicks, keys and chunk numbers where it may run.
"""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

import numpy as np

from chatter_nb.notebook.gallery.peaks import FULL_SCALE, HEIGHT, Peaks, outline

# Embedded audio makes a notebook heavy and slow to save; beyond this it is linked instead.
EMBED_LIMIT_BYTES = 10_000_000
WAVE_BINS = 600  # a stretch every two pixels of a wide notebook; some 5 kB a player
MAX_TOLD = 400  # beyond so many chunks their texts are left to the table: they would weigh 100 kB
MAX_TEXT = 160  # characters of a chunk's text, in a line below the waveform

_MIME = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".opus": "audio/ogg",
    ".ogg": "audio/ogg",
    ".m4a": "audio/mp4",
    ".aif": "audio/aiff",
    ".aiff": "audio/aiff",
}
_AUDIO = "<audio controls"
_UNQUOTED = " =:/,;()-"  # what an address may hold as it is, so that a waveform stays small
_WAVE, _SEAM = "#6f97c4", "#d1602b"  # mid tones: they read on white and on black


@dataclass(frozen=True)
class Mark:
    """A chunk or window of what is played, in seconds of it."""

    start_s: float
    end_s: float
    number: int
    text: str = ""


@dataclass(frozen=True)
class Picture:
    """What a player's waveform is drawn from. `from_s` is where it begins in the audio's file."""

    seconds: float
    peaks: Peaks
    marks: Sequence[Mark] = ()
    seams_s: Sequence[float] = ()
    from_s: float = 0.0
    noun: str = "chunk"


def audio_player(urls: Sequence[str], kind: str, label: str, *, told: bool = True) -> str:
    """A plain player of MIME type `kind`, that tries its addresses in turn; `told` below it."""
    below = f"<br><small>{html.escape(label)}</small>" if told else ""
    return f"<div>{_audio(urls, kind, label)}{below}</div>"


def waveform_player(
    urls: Sequence[str], kind: str, label: str, picture: Picture, *, links: str = ""
) -> str:
    """A player with its waveform; `links` is HTML that follows the label."""
    told = html.escape(label)
    return (
        f'<div data-player="{html.escape(_told(picture, label))}" style="width:100%;max-width:60em;'
        'margin:0 0 0.8em 0">'
        f'<div style="position:relative">{_image(picture, label)}</div>'
        f"{_audio(urls, kind, label)}<br><small>{told}{links}</small></div>"
    )


def playing(player: str) -> str:
    """The same player, but its first sound starts by itself: a person has just asked for it."""
    return player.replace(_AUDIO, f"{_AUDIO} autoplay", 1)


def download_links(paths: Sequence[Path], start: Path, *, embedded: Path | None = None) -> str:
    """A link a file, from the folder `start`; one that is embedded is taken from its player."""
    return "".join(
        f' · <a href="{html.escape(link_from(path, start))}" download="{html.escape(path.name)}"'
        f"{' data-embedded' if path == embedded else ''} "
        f'title="download {html.escape(path.name)}">{html.escape(path.suffix.lstrip("."))}, '
        f"{path.stat().st_size / 1e6:.2f} MB</a>"
        for path in paths
    )


def peaks_of(low: np.ndarray, high: np.ndarray) -> Peaks:
    """Peaks from the extremes of each stretch, full scale 1; anything beyond is cut there."""
    levels = [np.rint(np.clip(np.nan_to_num(e), -1, 1) * FULL_SCALE) for e in (low, high)]
    return Peaks(*(tuple(int(level) for level in each) for each in levels))


def mime_of(path: Path) -> str:
    """The type that a browser is told, by the file's name."""
    return _MIME.get(path.suffix.lower(), "application/octet-stream")


def data_url(content: bytes, kind: str) -> str:
    """The content itself, as an address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def link_from(path: Path, start: Path) -> str:
    """The way from a folder to a file. A `#` or `?` in a name would end it, if not quoted."""
    return quote(Path(os.path.relpath(path, start)).as_posix())


def _audio(urls: Sequence[str], kind: str, label: str) -> str:
    tags = "".join(f'<source src="{html.escape(url)}" type="{kind}">' for url in urls)
    # What is embedded is here already. Chromium hangs where one that was put off is moved twice.
    preload = "auto" if urls[0].startswith("data:") else "none"
    return (
        f'{_AUDIO} preload="{preload}" style="width:100%;max-width:60em" '
        f'aria-label="{html.escape(label)}">{tags}</audio>'
    )


def _image(picture: Picture, label: str) -> str:
    seams = f", {len(picture.seams_s)} seams" if picture.seams_s else ""
    svg = quote(_svg(picture), safe=_UNQUOTED)
    return (
        f'<img src="data:image/svg+xml,{svg}" width="100%" height="72" '
        f'style="display:block;width:100%;height:72px" alt="waveform of {html.escape(label)}'
        f'{seams}" onload="{html.escape(_script())}">'
    )


def _svg(picture: Picture) -> str:
    """Drawn on a transparent ground, as wide as it is given room."""
    width = max(1, len(picture.peaks.low) - 1)
    at = [width * seam_s / picture.seconds for seam_s in picture.seams_s]
    seams = "".join(f"M{x:.2f} 0v{HEIGHT}" for x in at)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" '
        f'preserveAspectRatio="none"><path fill="{_WAVE}" '
        f'd="{outline(picture.peaks, full=picture.peaks.loudest)}"/><path stroke="{_SEAM}" '
        f'vector-effect="non-scaling-stroke" d="{seams}"/></svg>'
    )


def _told(picture: Picture, label: str) -> str:
    few = len(picture.marks) <= MAX_TOLD
    marks = [
        (round(m.start_s, 3), round(m.end_s, 3), m.number, m.text.strip()[:MAX_TEXT] if few else "")
        for m in picture.marks
    ]
    told = {"from_s": picture.from_s, "seconds": picture.seconds, "noun": picture.noun}
    return json.dumps(told | {"marks": marks, "name": label}, ensure_ascii=False)


@cache
def _script() -> str:
    text = (Path(__file__).parent / "assets" / "player.js").read_text(encoding="utf-8")
    return "".join(line for line in text.splitlines(True) if not line.startswith("//"))
