"""The chunks of a run that are in doubt: their texts, the findings, and a player for each take.

Texts, reasons and what was heard come from documents and from a recogniser: all are escaped.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chatter_nb.base.errors import ChatterError, shorten
from chatter_nb.base.wording import count
from chatter_nb.pages.players import EMBED_LIMIT_BYTES, audio_player, data_url, encoded, note, page
from chatter_nb.runs.record import ChunkRecord, RunRecord, TakeRecord
from chatter_nb.runs.speech import Speech, checks_lines, doubtful_chunks

if TYPE_CHECKING:
    from IPython.display import HTML

    from chatter_nb.verify.findings import Finding

HEADLESS_BYTES = 1_000_000  # of embedded audio in the pages of a batch, which must save quickly
MAX_WORDS = 120  # characters of what was expected or heard
MAX_DOUBTS = 100  # chunks on a page

_GRID = (
    "display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,17em),1fr));gap:0.3em 1.5em"
)
_MARKED = "border-left:3px solid #d1602b;padding-left:0.8em;margin:0 0 1.2em 0;max-width:60em"
_TOO_LARGE = "no player here, to keep the page small"
_ABOUT_ALL = ("length", "not aligned", "clipping")  # kinds of findings about the whole chunk
_INSTEAD = {"missing words": "nothing", "other words": "something else"}  # if no words are known


@dataclass(frozen=True)
class Doubt:
    """A chunk in doubt. Of a chunk that was split, `chunk` is the first part, `text` all of it."""

    chunk: ChunkRecord
    text: str
    place: str

    @property
    def reasons(self) -> tuple[str, ...]:
        """What was found in the take that is in the file."""
        take = kept_take(self.chunk)
        return tuple(finding.reason for finding in take.findings) if take else ()


def doubts_of(record: RunRecord) -> list[Doubt]:
    """Return the chunks of a run that are in doubt."""
    doubtful = doubtful_chunks(record)
    texts = {chunk.index: chunk.text if chunk.split_from is None else "" for chunk in doubtful}
    for part in record.chunks:
        if part.split_from in texts:
            texts[part.split_from] += part.text
    return [
        Doubt(chunk, " ".join(texts[chunk.index].split()), _place(record, chunk))
        for chunk in doubtful
    ]


def is_checked(record: RunRecord) -> bool:
    """Return if the chunks of a run were checked."""
    return record.checks is not None and record.checks.level != "off"


def kept_take(chunk: ChunkRecord) -> TakeRecord | None:
    """Return the record of the take that is in the file; None if a check had nothing to say."""
    return next((take for take in chunk.takes if take.key == chunk.key), None)


def verdict_in_words(chunk: ChunkRecord) -> str:
    """Return a chunk's verdict for a table; "" for a pause and where no check ran."""
    if chunk.verdict == "ok" and len(chunk.takes) > 1:
        return f"made again, take {chunk.take}"
    return {"ok": "ok", "doubtful": "doubtful", "unchecked": "not checked"}.get(
        chunk.verdict or "", ""
    )


def doubtful(speech: Speech) -> HTML | None:
    """Return each chunk in doubt with what was found, and a player for each of its takes.

    A line if none is in doubt; None, which a notebook does not show, if nothing was checked.
    """
    record, lines = speech.record, checks_lines(speech.record)
    doubts = doubts_of(record)
    if not lines or not doubts:
        return note("; ".join(lines)) if lines else None
    are = "is" if len(doubts) == 1 else "are"
    checked = record.checks.checked if record.checks else 0
    title = f"<p><b>{len(doubts)} of {count(checked, 'checked chunk')} {are} in doubt</b></p>"
    more = len(doubts) - MAX_DOUBTS
    lines = [*lines[1:], *([f"… and {more} more, all in run.json"] if more > 0 else [])]
    left_bytes = EMBED_LIMIT_BYTES if record.params.get("interactive", True) else HEADLESS_BYTES
    sections = []
    for doubt in doubts[:MAX_DOUBTS]:
        section, embedded_bytes = _section(speech, doubt, left_bytes)
        sections.append(section)
        left_bytes -= embedded_bytes
    return page(title, *sections, *(f"<p>{html.escape(line)}</p>" for line in lines))


def reason_in_words(finding: Finding) -> str:
    """Return the reason, and the second; without a second if the finding is about all of it."""
    return finding.reason + ("" if is_about_all(finding) else f", at {finding.start_s:.1f}\u00a0s")


def compared(finding: Finding) -> str:
    """Return what was expected and what was heard; "" if the finding is not about words."""
    parts = [f"expected “{shorten(finding.expected, MAX_WORDS)}”"] if finding.expected else []
    quoted = f"“{shorten(finding.heard, MAX_WORDS)}”" if finding.heard else ""
    heard = quoted or _INSTEAD.get(finding.kind, "")
    parts += [f"heard {heard}"] if heard else []
    return "" if is_about_all(finding) else ", ".join(parts)


def is_about_all(finding: Finding) -> bool:
    """Return if a finding is about the whole chunk, and at no place in it."""
    return finding.kind in _ABOUT_ALL


def findings_list(findings: Sequence[Finding]) -> str:
    """Return findings as an HTML list: the reason, the second, what was expected and heard."""
    items = "".join(f"<li>{_finding(finding)}</li>" for finding in findings)
    return f'<ul style="margin:0.2em 0;padding-left:1.2em">{items}</ul>' if items else ""


def _section(speech: Speech, doubt: Doubt, left_bytes: int) -> tuple[str, int]:
    """Return a chunk's HTML, and how many bytes of audio are embedded in it."""
    takes, embedded_bytes = [], 0
    in_file_first = sorted(doubt.chunk.takes, key=lambda take: take.key != doubt.chunk.key)
    for take in in_file_first:
        player, size = _player(speech, doubt.chunk, take, left_bytes - embedded_bytes)
        embedded_bytes += size
        takes.append(f'<div style="min-width:0">{player}{findings_list(take.findings)}</div>')
    heading = f"<b>chunk {doubt.chunk.index}</b>, at {html.escape(doubt.place)}"
    text = f'<div dir="auto" style="margin:0.2em 0 0.5em 0">{html.escape(doubt.text)}</div>'
    grid = f'<div style="{_GRID}">{"".join(takes)}</div>'
    return f'<div style="{_MARKED}"><div>{heading}</div>{text}{grid}</div>', embedded_bytes


def _player(
    speech: Speech, chunk: ChunkRecord, take: TakeRecord, left_bytes: int
) -> tuple[str, int]:
    """Return the player of a take, or why there is none; and the bytes of its audio."""
    name = f"take {take.take}" + (", in the file" if take.key == chunk.key else "")
    if left_bytes <= 0:
        return _soundless(name, _TOO_LARGE), 0
    try:
        sound = speech.take_audio(take)
    except ChatterError as error:
        return _soundless(name, str(error)), 0
    if sound is None:
        return _soundless(name, "its audio is not kept"), 0
    content = encoded(*sound, "FLAC")
    if len(content) > left_bytes:  # the takes after it have no player either
        return _soundless(name, _TOO_LARGE), left_bytes
    seconds = len(sound[0]) / sound[1]
    label = f"chunk {chunk.index}, {name}, {seconds:.1f} s"
    player = audio_player([data_url(content, "audio/flac")], "audio/flac", label, labelled=False)
    return f"<b>{html.escape(name)}</b>{player}", len(content)


def _soundless(name: str, reason: str) -> str:
    return f"<b>{html.escape(name)}</b>: <small>{html.escape(reason)}</small>"


def _finding(finding: Finding) -> str:
    words = compared(finding)
    small = f"<br><small>{html.escape(words)}</small>" if words else ""
    return f"{html.escape(reason_in_words(finding))}{small}"


def _place(record: RunRecord, chunk: ChunkRecord) -> str:
    """Return where a chunk begins, as "1:05"; with its file if the run has several."""
    minutes, seconds = divmod(int(chunk.start_s), 60)
    clock = f"{minutes}:{seconds:02}"
    if len(record.outputs) < 2:
        return clock
    names = [
        output.name
        for output in record.outputs
        if output.first_chunk <= chunk.index < output.first_chunk + output.chunks
    ]
    return f"{clock} in {names[0]}" if names else clock
