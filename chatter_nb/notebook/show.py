"""Players, tables and figures (from `plots`) for notebooks.

Each function takes a plan or a finished `Speech` and returns an object that a notebook displays.
This module makes no audio.
"""

from __future__ import annotations

import html
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chatter_nb.audio.curves import duration_s
from chatter_nb.base.formats import OUTPUT_FORMATS, mime_of, play_rank
from chatter_nb.base.project import shown_path
from chatter_nb.base.wording import count
from chatter_nb.engines.voices import library_of
from chatter_nb.notebook.book_view import contents, loudness, names
from chatter_nb.notebook.plots import clock, pitch, recordings, stages, target_path, windows
from chatter_nb.pages.doubts import doubtful as doubts_page
from chatter_nb.pages.doubts import is_checked, verdict_in_words
from chatter_nb.pages.players import (
    EMBED_LIMIT_BYTES,
    audio_player,
    before_after,
    data_url,
    download_links,
    link_from,
    note,
    page,
    table,
    waveform_player,
)
from chatter_nb.pages.run_players import files_of, picture_of, source_of
from chatter_nb.pages.speakers import Shown, speakers_of, who_speaks
from chatter_nb.params.runs import ConvertParams
from chatter_nb.runs.folder import RECORD
from chatter_nb.runs.record import ChunkRecord, OutputRecord
from chatter_nb.runs.speech import Speech

if TYPE_CHECKING:
    from IPython.display import HTML

    from chatter_nb.params.runs import SpeakParams
    from chatter_nb.runs.convert_plan import ConversionPlan
    from chatter_nb.runs.lifecycle import Progress
    from chatter_nb.runs.speak_plan import SpeechPlan

__all__ = [
    "chunk_table",
    "contents",
    "doubtful",
    "files",
    "loudness",
    "names",
    "pitch",
    "player",
    "progress_lines",
    "recordings",
    "stages",
    "voice",
    "windows",
]

PROGRESS_LINE_S = 10
MAX_ROWS = 40
# What a file is for, by the end of its name.
_PURPOSES = {
    **{row.suffix: row.purpose for row in OUTPUT_FORMATS.values()},
    ".srt": "subtitles",
    ".vtt": "subtitles, for web pages",
    ".epub": "the book itself, which reads along",
    ".words.json": "when each word sounds",
    "review.html": "every line, to hear, mark and mend",
    RECORD: "how it was made; proves the audio",
}


def progress_lines(unit: str = "chunk") -> Callable[[Progress], None]:
    """Return a function for `progress=` that prints a line after ten seconds, then ever later."""
    began_s = printed_s = time.monotonic()

    def update(progress: Progress) -> None:
        nonlocal printed_s
        if time.monotonic() - printed_s >= max(PROGRESS_LINE_S, (printed_s - began_s) / 10):
            printed_s = time.monotonic()
            finished = f"{progress.done} of {count(progress.total, unit)}"
            print(f"{finished}, {progress.audio_s:.0f} s of audio", flush=True)

    return update


def player(speech: Speech) -> HTML:
    """Return a player with waveform and seams for each output; a conversion's has its source too.

    The audio is embedded for a person, and linked in a headless run. A linked player tries the file
    beside the notebook, then the file's path from the working directory: the notebook may be in the
    run's folder, or where it was executed.
    """
    embed = speech.record.params.get("interactive", True)
    starts = (speech.folder, Path.cwd())
    # The executed notebook of a headless run is in the run's folder.
    return page(*(_player(speech, o, starts, embed=embed) for o in speech.record.outputs))


def linked_player(speech: Speech, output: OutputRecord, starts: Sequence[Path]) -> str:
    """Return the HTML of a player for a page over several runs, below the name of its run.

    It tries its audio from each folder of `starts` in turn; links to files are from the first.
    """
    return f"<b>{html.escape(speech.folder.name)}</b>{_player(speech, output, starts)}"


def doubtful(speech: Speech) -> HTML | None:
    """Return the chunks in doubt with their players; write the run's review.html, and link it.

    None, which shows nothing, if the run was not checked.
    """
    from chatter_nb.pages.review import write_checked_review  # loads what makes lines again

    doubts, path = doubts_page(speech), write_checked_review(speech)
    if doubts is None or path is None:
        return doubts
    start = Path.cwd() if speech.record.params.get("interactive", True) else speech.folder
    link = f'<a href="{html.escape(link_from(path, start))}">Hear, mark and edit its lines</a>'
    return page(doubts.data, f"<p>{link}: <code>{html.escape(shown_path(path))}</code></p>")


def voice(plan: SpeechPlan | ConversionPlan) -> HTML:
    """Return a player for the voice's recording, or a line about the engine's own voice."""
    path = _voice_path(plan)
    if path is None:
        name = plan.voice.name
        return note(f"{plan.engine.name}'s own voice, {name}: there is no recording to play")
    return page(_recording("voice", path, plan.params))


def chunk_table(speech: Speech, *, max_rows: int = MAX_ROWS) -> HTML:
    """Return a table of chunks (start, length, origin, text), without the middle of a long one.

    If the run was checked, it has a column for the verdicts; for the speakers, if it has several.
    """
    chunks, checked = speech.record.chunks, is_checked(speech.record)
    speakers = speakers_of(speech.record)
    more = [*["check"] * checked, *["speaker"] * bool(speakers), "text"]
    names = ("chunk", "start", "seconds", "pause after", "made", *more)
    rows: list[Sequence[str] | str] = [
        _chunk_row(chunk, part, checked, speakers)
        for chunk, part in zip(chunks, _parts(chunks), strict=True)
    ]
    hidden = len(rows) - max_rows
    if hidden > 0:
        gap = f'<tr><td colspan="{len(names)}">… {hidden} more, all in run.json …</td></tr>'
        rows = [*rows[: max_rows // 2], gap, *rows[-(max_rows - max_rows // 2) :]]
    return page(table(names, rows))


def files(speech: Speech) -> HTML:
    """Return the run's folder and a table of its files, with what each is for."""
    files = [(file.name, file.bytes, file.sha256[:12]) for file in speech.record.all_files()]
    pages = [speech.folder / name for name in ("review.html", RECORD)]
    files += [(path.name, path.stat().st_size, "") for path in pages if path.is_file()]
    rows = [
        (
            html.escape(name),
            f"{size / 1e6:.2f}\u00a0MB",
            next((text for end, text in _PURPOSES.items() if name.endswith(end)), ""),
            checksum and f"<code>{checksum}</code>",
        )
        for name, size, checksum in files
    ]
    folder = html.escape(shown_path(speech.folder))
    return page(f"<p><code>{folder}</code></p>", table(("file", "size", "for", "sha256"), rows))


def _voice_path(plan: SpeechPlan | ConversionPlan) -> Path | None:
    if isinstance(plan.params, ConvertParams):
        return target_path(plan.params)
    clones = plan.engine.min_voice_s is not None  # otherwise a voice is a name, no recording
    name = plan.params.voice
    return library_of(plan.params).find(name) if name and clones else None


def _recording(role: str, path: Path, params: SpeakParams | ConvertParams) -> str:
    label = f"{role}: {path.name}, {clock(duration_s(path))}"
    urls = _addresses(path, (params.run_dir(), Path.cwd()), params.interactive)
    return audio_player(urls, mime_of(path), label)


def _addresses(path: Path, starts: Sequence[Path], embed: bool) -> list[str]:
    """Return the file as an address, or links to it from each folder of `starts`."""
    if embed and path.stat().st_size <= EMBED_LIMIT_BYTES:
        return [data_url(path.read_bytes(), mime_of(path))]
    return [link_from(path, start) for start in starts]


def _player(
    speech: Speech, output: OutputRecord, starts: Sequence[Path], *, embed: bool = False
) -> str:
    files = files_of(speech, output)
    path = min(files, key=play_rank)  # the smallest
    urls = _addresses(path, starts, embed)
    links = download_links(
        files,
        Path.cwd() if embed else starts[0],
        embedded=path if urls[0].startswith("data:") else None,
    )
    label = f"{path.name}, {clock(output.audio_s)}"
    player = waveform_player(urls, mime_of(path), label, picture_of(speech, output), links=links)
    source = source_of(speech, output)
    if source is None:
        return player
    label = f"source: {source.name}, {clock(duration_s(source))}"
    return before_after(player, _addresses(source, starts, embed), mime_of(source), label)


def _chunk_row(
    chunk: ChunkRecord, part: str, checked: bool, speakers: Mapping[str, Shown]
) -> Sequence[str]:
    origin = [_origin(chunk), part, f"take {chunk.take}" if chunk.take else ""]
    return (
        str(chunk.index),
        f"{chunk.start_s // 60:.0f}:{chunk.start_s % 60:04.1f}",
        f"{chunk.end_s - chunk.start_s:.2f}",
        f"{chunk.pause_ms} ms",
        ", ".join(filter(None, origin)),
        *[verdict_in_words(chunk)] * checked,
        *([who_speaks(chunk, speakers)] if speakers else []),
        html.escape(chunk.text + (f" (not spoken: {chunk.unspoken})" if chunk.unspoken else "")),
    )


def _origin(chunk: ChunkRecord) -> str:
    if chunk.cached:
        return "kept"
    if chunk.attempts:
        return count(chunk.attempts, "call")
    # The first part of a split chunk holds the number of calls for all its parts.
    return "" if chunk.split_from is not None else "pause only"


def _parts(chunks: Sequence[ChunkRecord]) -> list[str]:
    """Return for each chunk "part 2 of 3" if it is a part of a split chunk, else ""."""
    totals = Counter(chunk.split_from for chunk in chunks)
    return [
        f"part {chunk.index - chunk.split_from + 1} of {totals[chunk.split_from]}"
        if chunk.split_from is not None
        else ""
        for chunk in chunks
    ]
