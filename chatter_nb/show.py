"""What a person looks at and listens to: players, waveforms, tables, where the seconds went.

Every function takes a finished `Speech` and returns something that a notebook displays. Nothing
here makes sound or decides anything.
"""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from chatter_nb.plan import count
from chatter_nb.runs import ChunkRecord, OutputRecord
from chatter_nb.speak import Progress, Speech

if TYPE_CHECKING:
    from IPython.display import HTML
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Embedded audio makes a notebook heavy and slow to save; beyond this it is linked instead.
EMBED_LIMIT_BYTES = 10_000_000
PROGRESS_DELAY_S = 2
READ_SAMPLES = 1 << 18
MAX_ROWS = 40
MAX_WAVES = 8
MAX_NUMBERS = 55

_MIME = {".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg", ".opus": "audio/ogg"}
_SMALLEST_FIRST = (".mp3", ".opus", ".flac", ".wav")  # mp3 first: every browser plays it
_WAVE, _SEAM, _BAR = "#3b6ea8", "#d1602b", "#3b6ea8"
_STYLE: Any = {
    "figure.dpi": 110,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def progress_bar(total: int, *, interactive: bool = True) -> Callable[[Progress], None]:
    """A bar for `render_speech(progress=…)`; it appears only if the work takes over two seconds."""
    from tqdm import tqdm

    bar = tqdm(
        total=total,
        unit="chunk",
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
    """An audio player an output: embedded while a person works, linked in headless runs.

    A linked player tries the file beside the notebook, then its path from the working directory, so
    that it plays in the run's folder as well as where the notebook was executed.
    """
    from IPython.display import HTML

    embed = speech.record.params.get("interactive", True)
    rows = []
    for output in speech.record.outputs:
        path = _smallest_file(speech, output)
        small = path.stat().st_size <= EMBED_LIMIT_BYTES
        sources = [_data_url(path)] if embed and small else [path.name, os.path.relpath(path)]
        mime = _MIME[path.suffix]
        tags = "".join(f'<source src="{html.escape(src)}" type="{mime}">' for src in sources)
        label = f"{html.escape(path.name)}, {_clock(output.audio_s)}"
        rows.append(
            f'<div><audio controls preload="none" style="width:100%;max-width:40em" '
            f'aria-label="{label}">{tags}</audio><br><small>{label}</small></div>'
        )
    return HTML("".join(rows))


def chunk_table(speech: Speech, *, max_rows: int = MAX_ROWS) -> HTML:
    """Each chunk's place, length, origin and text; the middle is left out of a long table."""
    from IPython.display import HTML

    chunks = list(speech.record.chunks)
    hidden = len(chunks) - max_rows
    head = chunks if hidden <= 0 else chunks[: max_rows // 2]
    tail = [] if hidden <= 0 else chunks[-(max_rows - max_rows // 2) :]
    gap = f'<tr><td colspan="6">… {hidden} more, all in run.json …</td></tr>' if tail else ""
    rows = "".join(map(_chunk_row, head)) + gap + "".join(map(_chunk_row, tail))
    names = ("chunk", "start", "seconds", "pause after", "made", "text")
    header = "".join(f'<th style="text-align:left">{name}</th>' for name in names)
    return HTML(f"<table><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table>")


def waveform(speech: Speech, *, start_s: float = 0.0, end_s: float | None = None) -> Figure:
    """The signal with its seams and chunk numbers, a row an output; or a stretch of the first."""
    outputs = speech.record.outputs[: 1 if start_s or end_s else MAX_WAVES]
    with _figure(len(outputs), height_in=1.9) as (figure, axes):
        for ax, output in zip(axes, outputs, strict=True):
            _draw_wave(ax, speech, output, start_s, min(end_s or output.audio_s, output.audio_s))
        left_out = len(speech.record.outputs) - len(outputs)
        axes[-1].set_xlabel(f"time (s){f'; {left_out} more outputs not drawn' if left_out else ''}")
    return figure


def stages(speech: Speech) -> Figure:
    """Where the seconds went, longest first."""
    record = speech.record
    other_s = record.wall_s - sum(record.stages_s.values())
    spent = {**record.stages_s, "other": max(0.0, other_s)}
    spent = {name: s for name, s in sorted(spent.items(), key=lambda item: item[1]) if s >= 0.0005}
    top = list(spent)[-1]
    with _figure(1, height_in=0.7 + 0.22 * len(spent)) as (figure, (ax,)):
        bars = ax.barh(list(spent), list(spent.values()), color=_BAR, height=0.7)
        ax.bar_label(bars, [f"{s:.2f} s" for s in spent.values()], padding=3)
        ax.set_xlabel("seconds")
        ax.set_xlim(0, spent[top] * 1.12)
        ax.set_title(
            f"{spent[top] / record.wall_s:.0%} of {record.wall_s:.1f} s went to {top}; "
            f"{_clock(record.audio_s)} of audio, real-time factor {record.rtf:.3f}"
        )
    return figure


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


def envelope(
    path: Path, *, start_s: float = 0.0, end_s: float | None = None, bins: int = 1600
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times (s), lowest and highest sample of each of at most `bins` stretches, in flat memory."""
    with _StraightOn(path) as file:
        rate = file.samplerate
        first = min(round(start_s * rate), file.frames)
        last = file.frames if end_s is None else min(round(end_s * rate), file.frames)
        step = max(1, -(-(last - first) // bins))
        if first:
            file.seek(first)
        block = step * max(1, READ_SAMPLES // step)
        parts = [
            _extremes(file.read(min(block, last - start), dtype="float32"), step)
            for start in range(first, last, block)
        ]
    low, high = np.concatenate([np.zeros((2, 0), np.float32), *parts], axis=1)
    return (first + (np.arange(len(low)) + 0.5) * step) / rate, low, high


class _StraightOn(soundfile.SoundFile):
    """A file read from front to back. soundfile seeks after every read of a seekable file, at which
    libsndfile's mp3 decoder loses its place and prints an error."""

    def seekable(self) -> bool:
        return False


def _extremes(samples: np.ndarray, step: int) -> np.ndarray:
    """Lowest and highest sample of each stretch of `step`, shape (2, stretches)."""
    starts = np.arange(0, len(samples), step)
    return np.stack([np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)])


def _draw_wave(
    ax: Axes, speech: Speech, output: OutputRecord, start_s: float, end_s: float
) -> None:
    times_s, low, high = envelope(_lossless_file(speech, output), start_s=start_s, end_s=end_s)
    ax.fill_between(times_s, low, high, color=_WAVE, linewidth=0)
    limit = max(0.05, float(np.abs([low, high]).max(initial=0))) * 1.35
    rate = speech.record.sample_rate
    seams_s = [s / rate for s in output.seams_samples if start_s <= s / rate <= end_s]
    ax.vlines(seams_s, -limit, limit, color=_SEAM, linewidth=0.6, alpha=0.8)
    inside = [c for c in _chunks_of(speech, output) if start_s <= c.start_s < end_s]
    room_s = (end_s - start_s) / MAX_NUMBERS
    free_from_s = start_s
    for chunk in inside:
        middle_s = (chunk.start_s + min(chunk.end_s, end_s)) / 2
        if middle_s >= free_from_s:  # a number that would cover its neighbour is left out
            ax.text(middle_s, limit * 0.97, str(chunk.index), ha="center", va="top", fontsize=7)
            free_from_s = middle_s + room_s
    ax.set_xlim(start_s, end_s)
    ax.set_ylim(-limit, limit)
    ax.set_ylabel("amplitude\n(full scale 1)")
    longest_s = max((c.end_s - c.start_s for c in inside), default=0)
    name = "" if output.name == "speech" else f"{output.name}: "
    ax.set_title(
        f"{name}{count(len(inside), 'chunk')}, {count(len(seams_s), 'seam')} (orange) "
        f"in {_clock(end_s - start_s)}; "
        f"the longest chunk lasts {longest_s:.1f} s"
    )


@contextmanager
def _figure(rows: int, *, height_in: float) -> Iterator[tuple[Figure, Any]]:
    """A figure in the house style, closed at the end so that a notebook shows it just once."""
    import matplotlib.pyplot as plt

    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(
            rows, 1, figsize=(9.5, max(1.3, height_in * rows)), squeeze=False, layout="constrained"
        )
        yield figure, axes[:, 0]
        plt.close(figure)


def _chunk_row(chunk: ChunkRecord) -> str:
    made = "kept" if chunk.cached else f"{chunk.attempts} call" if chunk.attempts else "pause only"
    cells = (
        str(chunk.index),
        f"{chunk.start_s // 60:.0f}:{chunk.start_s % 60:04.1f}",
        f"{chunk.end_s - chunk.start_s:.2f}",
        f"{chunk.pause_ms} ms",
        made + (f", take {chunk.take}" if chunk.take else ""),
        html.escape(chunk.text),
    )
    return "<tr>" + "".join(f'<td style="text-align:left">{cell}</td>' for cell in cells) + "</tr>"


def _chunks_of(speech: Speech, output: OutputRecord) -> tuple[ChunkRecord, ...]:
    return speech.record.chunks[output.first_chunk : output.first_chunk + output.chunks]


def _smallest_file(speech: Speech, output: OutputRecord) -> Path:
    return min(_files_of(speech, output), key=lambda path: _SMALLEST_FIRST.index(path.suffix))


def _lossless_file(speech: Speech, output: OutputRecord) -> Path:
    return max(_files_of(speech, output), key=lambda path: _SMALLEST_FIRST.index(path.suffix))


def _files_of(speech: Speech, output: OutputRecord) -> list[Path]:
    return [path for path in speech.files if path.stem == output.name]


def _data_url(path: Path) -> str:
    return f"data:{_MIME[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _clock(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
