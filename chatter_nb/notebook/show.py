"""What a person looks at and listens to: players, tables and, from `plots`, figures.

Every function takes a plan or a finished `Speech` and returns something that a notebook displays.
Nothing here makes sound or decides anything.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chatter_nb.audio.curves import duration_s, envelope
from chatter_nb.base.wording import count
from chatter_nb.notebook.players import (
    EMBED_LIMIT_BYTES,
    WAVE_BINS,
    Mark,
    Picture,
    audio_player,
    data_url,
    download_links,
    link_from,
    mime_of,
    peaks_of,
    waveform_player,
)
from chatter_nb.notebook.plots import (
    clock,
    lossless_file,
    pitch,
    recordings,
    stages,
    target_path,
    waveform,
    windows,
)
from chatter_nb.params.runs import ConvertParams
from chatter_nb.runs.record import ChunkRecord, OutputRecord
from chatter_nb.runs.settle import library_of
from chatter_nb.runs.speech import Speech

if TYPE_CHECKING:
    from IPython.display import HTML

    from chatter_nb.params.runs import SpeakParams
    from chatter_nb.runs.convert_plan import ConversionPlan
    from chatter_nb.runs.lifecycle import Progress
    from chatter_nb.runs.speak_plan import SpeechPlan

__all__ = [
    "chunk_table",
    "envelope",
    "files",
    "lossless_file",
    "pitch",
    "player",
    "progress_bar",
    "recordings",
    "sources",
    "stages",
    "voice",
    "waveform",
    "windows",
]

PROGRESS_DELAY_S = 2
MAX_ROWS = 40
MAX_SOURCES = 8

_SMALLEST_FIRST = (".mp3", ".opus", ".flac", ".wav")  # mp3 first: every browser plays it


def progress_bar(
    total: int, *, interactive: bool = True, unit: str = "chunk"
) -> Callable[[Progress], None]:
    """A bar for `progress=`; it appears only if the work takes over two seconds."""
    from tqdm import tqdm

    bar = tqdm(
        total=total,
        unit=unit,
        delay=PROGRESS_DELAY_S,
        mininterval=0.2 if interactive else 5,
        leave=not interactive,
    )

    def update(progress: Progress) -> None:
        bar.set_postfix_str(f"{progress.audio_s:.0f} s of audio", refresh=False)
        bar.update(progress.done - bar.n)
        if progress.done == progress.total:
            bar.close()

    return update


def player(speech: Speech) -> HTML:
    """A player with waveform and seams an output: embedded for a person, linked in headless runs.

    A linked player tries the file beside the notebook, then its path from the working directory, so
    that it plays in the run's folder as well as where the notebook was executed.
    """
    from IPython.display import HTML

    return HTML("".join(_output_player(speech, output) for output in speech.record.outputs))


def sources(plan: ConversionPlan) -> HTML:
    """A player for each recording that will be converted; see `player` for when it is linked."""
    from IPython.display import HTML

    rows = [_recording("source", output.path, plan.params) for output in plan.outputs[:MAX_SOURCES]]
    hidden = len(plan.outputs) - len(rows)
    more = f"<p>… {count(hidden, 'more source')}</p>" if hidden > 0 else ""
    return HTML("".join(rows) + more)


def voice(plan: SpeechPlan | ConversionPlan) -> HTML:
    """A player for the recording whose voice is taken, or a line if the voice is the engine's."""
    from IPython.display import HTML

    path = _voice_path(plan)
    if path is None:
        told = f"{plan.engine.name}'s own voice, {plan.voice.name}: there is no recording to play"
        return HTML(f"<p>{html.escape(told)}</p>")
    return HTML(_recording("voice", path, plan.params))


def chunk_table(speech: Speech, *, max_rows: int = MAX_ROWS) -> HTML:
    """Each chunk's place, length, origin and text; the middle is left out of a long table."""
    from IPython.display import HTML

    chunks = speech.record.chunks
    rows = [*map(_chunk_row, chunks, _parts(chunks))]
    hidden = len(rows) - max_rows
    if hidden > 0:
        gap = f'<tr><td colspan="6">… {hidden} more, all in run.json …</td></tr>'
        rows = [*rows[: max_rows // 2], gap, *rows[-(max_rows - max_rows // 2) :]]
    names = ("chunk", "start", "seconds", "pause after", "made", "text")
    header = "".join(f'<th style="text-align:left">{name}</th>' for name in names)
    return HTML(f"<table><thead><tr>{header}</tr></thead><tbody>{''.join(rows)}</tbody></table>")


def files(speech: Speech) -> HTML:
    """The run's folder: its files with their sizes."""
    from IPython.display import HTML

    rows = "".join(
        f"<tr><td>{html.escape(file.name)}</td><td>{file.bytes / 1e6:.2f} MB</td>"
        f"<td><code>{file.sha256[:12]}</code></td></tr>"
        for file in speech.record.files
    )
    header = "<tr><th>file</th><th>size</th><th>sha256</th></tr>"
    return HTML(
        f"<p><code>{html.escape(str(speech.folder))}</code></p><table>{header}{rows}</table>"
    )


def _voice_path(plan: SpeechPlan | ConversionPlan) -> Path | None:
    if isinstance(plan.params, ConvertParams):
        return target_path(plan.params)
    clones = plan.engine.min_voice_s is not None  # the others' voices are names, not recordings
    name = plan.params.voice
    return library_of(plan.params).find(name) if name and clones else None


def _recording(role: str, path: Path, params: SpeakParams | ConvertParams) -> str:
    label = f"{role}: {path.name}, {clock(duration_s(path))}"
    return _audio(path, label, beside=params.run_dir(), embed=params.interactive)


def _audio(path: Path, label: str, *, beside: Path, embed: bool) -> str:
    return audio_player(_addresses(path, beside, embed), mime_of(path), label)


def _addresses(path: Path, beside: Path, embed: bool) -> list[str]:
    """The file itself, or the ways to it from the folder `beside` and the working directory."""
    if embed and path.stat().st_size <= EMBED_LIMIT_BYTES:
        return [data_url(path.read_bytes(), mime_of(path))]
    return [link_from(path, start) for start in (beside, Path.cwd())]


def _output_player(speech: Speech, output: OutputRecord) -> str:
    path = _smallest_file(speech, output)
    embed = speech.record.params.get("interactive", True)
    urls = _addresses(path, speech.folder, embed)
    # An executed notebook of a headless run lies in the run's folder.
    links = download_links(
        [one for one in speech.files if one.stem == output.name],
        Path.cwd() if embed else speech.folder,
        embedded=path if urls[0].startswith("data:") else None,
    )
    label = f"{path.name}, {clock(output.audio_s)}"
    return waveform_player(urls, mime_of(path), label, _picture(speech, output), links=links)


def _picture(speech: Speech, output: OutputRecord) -> Picture:
    record = speech.record
    _, low, high = envelope(lossless_file(speech, output), bins=WAVE_BINS)
    inside = slice(output.first_chunk, output.first_chunk + output.chunks)
    chunks = [Mark(c.start_s, c.end_s, c.index, c.text) for c in record.chunks[inside]]
    windows = [Mark(w.start_s, w.end_s, w.index) for w in record.windows[inside]]
    return Picture(
        seconds=output.audio_s,
        peaks=peaks_of(low, high),
        marks=chunks or windows,
        seams_s=[samples / record.sample_rate for samples in output.seams_samples],
        noun="window" if windows else "chunk",
    )


def _smallest_file(speech: Speech, output: OutputRecord) -> Path:
    files = [path for path in speech.files if path.stem == output.name]
    return min(files, key=lambda path: _SMALLEST_FIRST.index(path.suffix))


def _chunk_row(chunk: ChunkRecord, part: str) -> str:
    cells = (
        str(chunk.index),
        f"{chunk.start_s // 60:.0f}:{chunk.start_s % 60:04.1f}",
        f"{chunk.end_s - chunk.start_s:.2f}",
        f"{chunk.pause_ms} ms",
        ", ".join(filter(None, [_made(chunk), part, f"take {chunk.take}" if chunk.take else ""])),
        html.escape(chunk.text),
    )
    return "<tr>" + "".join(f'<td style="text-align:left">{cell}</td>' for cell in cells) + "</tr>"


def _made(chunk: ChunkRecord) -> str:
    if chunk.cached:
        return "kept"
    if chunk.attempts:
        return count(chunk.attempts, "call")
    # The first part of a chunk that was split carries the calls for all of them.
    return "" if chunk.split_from is not None else "pause only"


def _parts(chunks: Sequence[ChunkRecord]) -> list[str]:
    """For each chunk "part 2 of 3" if it is one of a chunk that was split, else nothing."""
    totals = Counter(chunk.split_from for chunk in chunks)
    return [
        f"part {chunk.index - chunk.split_from + 1} of {totals[chunk.split_from]}"
        if chunk.split_from is not None
        else ""
        for chunk in chunks
    ]
