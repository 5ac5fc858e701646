"""What a comparison is: runs under letters, their pieces in rows, the numbers of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chatter_nb.base.wording import count
from chatter_nb.notebook.compare.acoustics import Acoustics, loudness_unit
from chatter_nb.notebook.compare.params import CompareParams
from chatter_nb.notebook.compare.pieces import Piece
from chatter_nb.runs.speech import Speech

COMPARE = "compare"  # under outputs_dir: the samples, and the answers of blind tests


@dataclass(frozen=True)
class Compared:
    """A run under its letter. The numbers are of its pieces in rows that all runs have."""

    label: str
    speech: Speech
    shown_s: float  # how long all its pieces last
    acoustics: Acoustics

    @property
    def name(self) -> str:
        return self.speech.folder.name


@dataclass(frozen=True)
class Comparison:
    """`rows` hold a piece of each run, or None. `differences`: parameter → its value in each."""

    runs: tuple[Compared, ...]
    rows: tuple[tuple[Piece | None, ...], ...]
    differences: dict[str, tuple[str, ...]]
    hidden: int  # rows beyond `chunks`
    left_out: tuple[str, ...]  # runs in a folder that are not finished
    params: CompareParams
    veil: Callable[[Comparison], str] = lambda comparison: ""  # said in place of the results

    def __str__(self) -> str:
        noun = "output" if self.runs[0].speech.record.kind == "convert" else "chunk"
        paired = sum(None not in row for row in self.rows)
        told = self.veil(self)
        lines = [f"{run.label}: {run.name}, {_told(run)}" for run in self.runs]
        if told:
            lines = [f"runs: {', '.join(sorted(run.name for run in self.runs))}", told]
        lines.append(f"{paired} of {count(len(self.rows), noun)} side by side in all runs")
        if self.hidden:
            lines.append(
                f"{count(self.hidden, f'more {noun}')} not compared: raise chunks for them"
            )
        if self.left_out:
            lines.append(f"left out, not finished: {', '.join(self.left_out)}")
        return "\n".join(lines)


def _told(run: Compared) -> str:
    pace = run.acoustics.letters_per_s
    told_pace = f", {pace:.1f} letters a second of speech" if pace else ""
    return f"{run.shown_s:.1f} s, {run.acoustics.loudness:.1f} {loudness_unit()}{told_pace}"
