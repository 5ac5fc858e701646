"""The lines of a run: a person's view of its chunks, with their edits, words and doubts.

A line is a chunk as the text has it: the parts of a chunk that was split are one line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from chatter_nb.base.disk import read_json
from chatter_nb.base.errors import InputError
from chatter_nb.base.wording import count
from chatter_nb.pages.doubts import kept_take
from chatter_nb.runs.edits import Edit, edit_of, edits_of_run, match_edits
from chatter_nb.runs.places import placed_chunks
from chatter_nb.runs.record import WORDS, ChunkRecord, OutputRecord
from chatter_nb.runs.speech import Speech

_MISSING = ("missing words", "other words", "not aligned")  # findings by which words are lost


@dataclass(frozen=True)
class Line:
    """A line: its records in the run, several if its chunk was split, and its edit so far."""

    parts: tuple[ChunkRecord, ...]
    edit: Edit

    @property
    def chunk(self) -> ChunkRecord:
        """The first record, which holds the takes."""
        return self.parts[0]

    @property
    def spoken(self) -> str:
        """The text that its audio speaks."""
        return "".join(part.text for part in self.parts)

    @property
    def text(self) -> str:
        """The text in the document, before any edit."""
        source = self.chunk.source_text
        return self.spoken if source is None else source

    @property
    def seconds(self) -> float:
        return self.parts[-1].end_s - self.chunk.start_s

    @property
    def spoken_words(self) -> str | None:
        """The words of an edit that the audio speaks, as they were written; None without."""
        if self.spoken == self.text:
            return None
        words, spoken = self.edit.words, self.spoken.strip()
        return words if words is not None and words.split() == spoken.split() else spoken


def lines_of(speech: Speech) -> tuple[list[Line], list[str]]:
    """Return the lines of a run with their edits, and notes about edits that have no line.

    A chunk that is only a pause is no line, unless an edit or the voice left its words out.
    """
    record = speech.record
    if record.kind != "speak":
        raise InputError(f"{speech.folder} is a conversion: only speech has lines to review")
    edits = edits_of_run(speech.folder, record)
    matched, lost = match_edits(placed_chunks(record), edits)
    groups = groupby(record.chunks, key=lambda c: (c.document, c.start, c.end))
    lines = []
    for position, (_, group) in enumerate(groups):
        parts = tuple(group)
        empty = edit_of(parts[0])
        edit = matched.get(position, empty).model_copy(
            update={"start": empty.start, "end": empty.end}
        )
        lines.append(Line(parts, edit))
    text = f"{count(len(lost), 'edit')} not used, as the text there is gone: see edits.json"
    notes = [text] if lost else []
    heard = [ln for ln in lines if ln.seconds > 0 or ln.edit.words is not None or ln.chunk.unspoken]
    return heard, notes


def line_at(speech: Speech, edit: Edit) -> Line:
    """Return the line at an edit's place. Raises `InputError` if the run has no such line."""
    place = edit.document, edit.start, edit.end
    parts = tuple(c for c in speech.record.chunks if (c.document, c.start, c.end) == place)
    if not parts or edit_of(parts[0]).place != edit.place:
        raise InputError(f"the run has no line at {edit}: open its review again")
    return Line(parts, edit)


def badness(line: Line) -> tuple[Any, ...]:
    """Return a sort key: in doubt, then most words lost, then most else; then as in the text."""
    take = kept_take(line.chunk)
    findings = take.findings if take else ()
    lost = sum(len(finding.expected.split()) for finding in findings if finding.kind in _MISSING)
    is_doubtful = line.chunk.verdict == "doubtful"
    return not is_doubtful, -lost, -len(findings), -len(line.chunk.takes), line.chunk.index


def words_of(speech: Speech, output: OutputRecord) -> dict[int, list[dict[str, Any]]]:
    """Return the words of an output by the number of their chunk; none where times are unknown."""
    name = f"{output.name}{WORDS}"
    known = any(file.name == name for file in speech.record.word_files)
    words: dict[int, list[dict[str, Any]]] = {}
    for word in (read_json(speech.folder / name) or []) if known else []:
        words.setdefault(word["chunk"], []).append(word)
    return words


def word_times(line: Line, words: Mapping[int, Sequence[Mapping[str, Any]]]) -> list[list[float]]:
    """Return place in the spoken text, start and end in seconds of the line, of each word."""
    times: list[list[float]] = []
    offset, start_s = 0, line.chunk.start_s
    for part in line.parts:
        for word in words.get(part.index, ()):
            place = [offset + word["text_start"], offset + word["text_end"]]
            begins_s, ends_s = (round(word[k] - start_s, 2) for k in ("start_s", "end_s"))
            if times and place[0] < times[-1][1]:  # several words say one of the text, as "$12"
                times[-1][3] = ends_s
            else:
                times.append([*place, begins_s, ends_s])
        offset += len(part.text)
    return times
