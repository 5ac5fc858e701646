"""HTML for notebooks and forms: tables, and players with a waveform that marks the seams.

JupyterLab drops scripts and styles from notebooks that it does not trust, and widgets never run a
`<script>`. A player is therefore an `<img>` and an `<audio>`, which always work. The image's
`onload` is `assets/player.js`: it adds the playhead, clicks, keys, chunk numbers and the text, of
which the spoken chunk is lit, if it may run.
"""

from __future__ import annotations

import base64
import html
import io
import json
import os
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import soundfile

from chatter_nb.audio.reading import Signal
from chatter_nb.base.errors import shorten
from chatter_nb.base.wording import place
from chatter_nb.pages.speakers import legend
from chatter_nb.pages.waves import WAVE_BINS, Mark, Picture, peaks_of, waveform_svg

if TYPE_CHECKING:
    from IPython.display import HTML

# Embedded audio makes a notebook large and slow to save; audio beyond this limit is linked.
EMBED_LIMIT_BYTES = 10_000_000
# All texts of a player share so many characters: of 2,000 chunks, a player shows how each begins.
TEXTS_CHARS, LEAST_CHARS = 200_000, 20

_AUDIO = "<audio controls"
_UNQUOTED = " =:/,;()-"  # an address may hold these characters unquoted: a shorter waveform


def page(*parts: str) -> HTML:
    """Join parts of HTML to an object that a notebook displays.

    IPython is imported only here: commands, which display nothing, start faster without it.
    """
    from IPython.display import HTML

    return HTML("".join(parts))


def note(text: str) -> HTML:
    """Return a paragraph of plain text as a page."""
    return page(f"<p>{html.escape(text)}</p>")


def table(names: Sequence[str], rows: Iterable[Sequence[str] | str], *, head: str = "td") -> str:
    """Return the HTML of a table, aligned to the left. A row is its cells' HTML, or its own HTML.

    `head` is the tag of a row's first cell.
    """
    heading = f"<thead>{_table_row(map(html.escape, names), 'th', 'th')}</thead>" if names else ""
    body = [row if isinstance(row, str) else _table_row(row, head, "td") for row in rows]
    return f"<table>{heading}<tbody>{''.join(body)}</tbody></table>"


def audio_player(urls: Sequence[str], kind: str, label: str, *, labelled: bool = True) -> str:
    """Return a player of MIME type `kind` that tries its addresses in turn.

    `labelled`: also show the label below the player.
    """
    below = f"<br><small>{html.escape(label)}</small>" if labelled else ""
    return f"<div>{_audio(urls, kind, label)}{below}</div>"


def waveform_player(
    urls: Sequence[str], kind: str, label: str, picture: Picture, *, links: str = ""
) -> str:
    """Return a player with its waveform; `links` is HTML that follows the label."""
    data = html.escape(_player_data(picture, label))
    return (
        f'<div data-player="{data}" style="width:100%;max-width:60em;margin:0 0 0.8em 0">'
        f'<div style="position:relative">{_image(picture, label)}</div>'
        f"{legend(picture.speakers)}{_audio(urls, kind, label)}{_chapters(picture)}"
        f"<div><small>{html.escape(label)}{links}</small></div></div>"
    )


def before_after(player: str, urls: Sequence[str], kind: str, label: str) -> str:
    """Return the `waveform_player` of a result with its source, which is heard at the same place.

    `urls`, `kind` and `label` are the source's. Without scripts both are players of their own.
    """
    source = f"{_audio(urls, kind, label)}<div><small>{html.escape(label)}</small></div>"
    return f"{player.removesuffix('</div>')}<div data-source>{source}</div></div>"


def signal_player(
    signal: Signal, rate_hz: int, chunks: Sequence[tuple[float, float, str]], label: str
) -> str:
    """Return a player that holds a signal; `chunks` are start, end (s) and text of each chunk."""
    parts = np.array_split(signal, min(WAVE_BINS, len(signal)))
    peaks = peaks_of(np.array([p.min() for p in parts]), np.array([p.max() for p in parts]))
    marks = [Mark(start_s, end_s, n, text) for n, (start_s, end_s, text) in enumerate(chunks)]
    url = data_url(encoded(signal, rate_hz, "OGG"), "audio/ogg")
    return waveform_player([url], "audio/ogg", label, Picture(len(signal) / rate_hz, peaks, marks))


def playing(player: str) -> str:
    """Return the player with `autoplay`: a person has just asked for its audio."""
    return player.replace(_AUDIO, f"{_AUDIO} autoplay", 1)


def download_links(paths: Sequence[Path], start: Path, *, embedded: Path | None = None) -> str:
    """Return a link to each file, seen from the folder `start`.

    The link to the file `embedded` takes the audio out of its player.
    """
    return "".join(
        f' · <a href="{html.escape(link_from(path, start))}" download="{html.escape(path.name)}"'
        f"{' data-embedded' if path == embedded else ''} "
        f'title="download {html.escape(path.name)}">{html.escape(path.suffix.lstrip("."))}, '
        f"{path.stat().st_size / 1e6:.2f} MB</a>"
        for path in paths
    )


def shown_texts(texts: Sequence[str]) -> list[str]:
    """Return the texts of chunks, shortened alike so that a page can hold them; or empty."""
    room = TEXTS_CHARS // max(1, len(texts))
    return [shorten(text.strip(), room) if room >= LEAST_CHARS else "" for text in texts]


def asset(name: str) -> str:
    """Return the text of a file of `assets/`: a script, a style or a template."""
    return resources.files("chatter_nb.pages").joinpath("assets", name).read_text(encoding="utf-8")


def data_url(content: bytes, kind: str) -> str:
    """Return an address that holds the content itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def encoded(signal: Signal, rate_hz: int, container: str) -> bytes:
    """Return the samples as a "WAV" or "FLAC" file of 16 bits, or as an "OGG" file with Opus."""
    file = io.BytesIO()
    subtype = "OPUS" if container == "OGG" else "PCM_16"
    soundfile.write(file, signal, rate_hz, format=container, subtype=subtype)
    return file.getvalue()


def link_from(path: Path, start: Path) -> str:
    """Return the quoted relative address of a file, seen from a folder."""
    return quote(Path(os.path.relpath(path, start)).as_posix())


def _table_row(cells: Iterable[str], first: str, others: str) -> str:
    """Return a row of a table: the first cell has the tag `first`, the others `others`."""
    parts = []
    for column, cell in enumerate(cells):
        tag = others if column else first
        parts.append(f'<{tag} style="text-align:left">{cell}</{tag}>')
    return f"<tr>{''.join(parts)}</tr>"


def _audio(urls: Sequence[str], kind: str, label: str) -> str:
    tags = "".join(f'<source src="{html.escape(url)}" type="{kind}">' for url in urls)
    # Embedded audio needs no download. Without "auto", Chromium hangs if it is sought twice.
    preload = "auto" if urls[0].startswith("data:") else "none"
    return (
        f'{_AUDIO} preload="{preload}" style="width:100%;max-width:60em" '
        f'aria-label="{html.escape(label)}">{tags}</audio>'
    )


def _chapters(picture: Picture) -> str:
    """Return the list of chapters, which `player.js` makes buttons of."""
    items = "".join(
        f'<li data-start="{start_s:.3f}">{place(start_s)[:-2]} '
        f'<bdi style="margin-left:.6em">{html.escape(title)}</bdi></li>'
        for start_s, title in picture.chapters
    )
    style = "list-style:none;margin:.4em 0;padding:0"
    return f'<ol data-chapters aria-label="chapters" style="{style}">{items}</ol>' if items else ""


def _image(picture: Picture, label: str) -> str:
    seams = f", {len(picture.seams_s)} seams" if picture.seams_s else ""
    svg = quote(waveform_svg(picture), safe=_UNQUOTED)
    return (
        f'<img src="data:image/svg+xml,{svg}" width="100%" height="72" '
        f'style="display:block;width:100%;height:72px" alt="waveform of {html.escape(label)}'
        f'{seams}" onload="{html.escape(player_script())}">'
    )


def _player_data(picture: Picture, label: str) -> str:
    """Return the JSON that `player.js` reads."""
    texts = shown_texts([mark.text for mark in picture.marks])
    who = {speaker: [n] for n, speaker in enumerate(picture.speakers)}
    marks = [
        [round(m.start_s, 3), round(m.end_s, 3), m.number, text, _ends_paragraph(m.text)]
        + (who[m.speaker] if m.speaker else [])
        for m, text in zip(picture.marks, texts, strict=True)
    ]
    data = {"from_s": picture.from_s, "seconds": picture.seconds, "noun": picture.noun}
    data |= {"speakers": list(who)} if who else {}
    return json.dumps(data | {"marks": marks, "name": label}, ensure_ascii=False)


def _ends_paragraph(text: str) -> int:
    return int("\n" in text[len(text.rstrip()) :])


@cache
def player_script() -> str:
    """Return the script that a player's image runs when it is loaded."""
    lines = asset("player.js").splitlines(True)
    return "".join(line for line in lines if not line.startswith("//"))
