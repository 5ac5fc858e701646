"""The review of a run: a person hears its lines, marks them, and edits their words.

A line is a chunk as the text has it: the parts of a chunk that was split are one line. The editor
is `assets/review.js`; this module gives it its data, and writes the page that works without a
server. Texts, notes and reasons are data to it, never HTML.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from chatter_nb.audio.writer import AudioWriter
from chatter_nb.base.disk import is_there, read_json, remove, write_whole
from chatter_nb.base.errors import ChatterError, InputError
from chatter_nb.base.formats import mime_of, play_rank
from chatter_nb.base.wording import count
from chatter_nb.pages.doubts import compared, is_about_all, is_checked, kept_take, reason_in_words
from chatter_nb.pages.players import (
    EMBED_LIMIT_BYTES,
    asset,
    data_url,
    encoded,
    link_from,
)
from chatter_nb.pages.template import render
from chatter_nb.runs.edits import (
    EDITS,
    Edit,
    edit_of,
    load_edits,
    match_edits,
    next_take,
    placed_chunks,
)
from chatter_nb.runs.record import ChunkRecord, OutputRecord, TakeRecord
from chatter_nb.runs.revise import make_line
from chatter_nb.runs.speech import Speech
from chatter_nb.runs.words_file import SUFFIX
from chatter_nb.verify import Finding

PAGE = "review.html"
TAKES = "review"  # a run's folder for takes of lines in doubt
PEAKS_PER_S = 25  # 40 ms: two or three pixels of a line of ten seconds

_MISSING = ("missing words", "other words", "not aligned")  # findings by which words are lost

Address = Callable[[Path], str]


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


def write_review(speech: Speech) -> Path:
    """Write review.html into the folder of a run, and return its path.

    Takes of lines in doubt are written as opus into its folder review/. Small audio is inside the
    page, which then is whole by itself; larger audio is linked from beside it. Raises `InputError`
    for a conversion, `OutputError` if the disk does not take a file.
    """
    takes = write_takes(speech)
    files = [_smallest(speech, output) for output in speech.record.outputs]
    size = sum(path.stat().st_size for path in [*files, *takes])
    inside = size <= EMBED_LIMIT_BYTES

    def address(path: Path) -> str:
        return (
            data_url(path.read_bytes(), mime_of(path)) if inside else link_from(path, speech.folder)
        )

    data = review_data(speech, address)
    page = render(
        "review.html",
        style=asset("gallery.css") + asset("review.css"),
        script=asset("review.js") + asset("review_page.js"),
        title=data["run"],
        headline=headline(data),
        notes=data["notes"],
        data=_in_html(data),
    )
    target = speech.folder / PAGE
    write_whole(target, page.encode("utf-8", "replace"))  # a text may hold what is no UTF-8
    return target


def write_takes(speech: Speech) -> list[Path]:
    """Write the takes that are not in the file, of each line in doubt, as opus into review/.

    Takes that are there already stay, those of no line in doubt are removed. Returns their paths; a
    take that the store no longer holds has none.
    """
    folder, paths = speech.folder / TAKES, []
    doubtful = [chunk for chunk in speech.record.chunks if chunk.verdict == "doubtful"]
    for take in (take for chunk in doubtful for take in chunk.takes if take.key != chunk.key):
        path = folder / f"{take.key}.opus"
        if not is_there(path) and not _write_take(speech, take, folder):
            continue
        paths.append(path)
    for path in folder.glob("*.opus"):
        if path not in paths:
            remove(path)
    return paths


def review_data(speech: Speech, address: Address | None = None) -> dict[str, Any]:
    """Return what the editor shows of a run, as values of JSON.

    `address` gives the address of an audio file in the run's folder; without it, the editor asks
    for the audio of each line. Raises `InputError` for a conversion, which has no lines.
    """
    record = speech.record
    lines, notes = _lines(speech)
    words = {output.name: _words(speech, output) for output in record.outputs}
    paths = {output.name: _smallest(speech, output) for output in record.outputs}
    values = [_line_data(speech, line, words, address) for line in lines]
    order = sorted(range(len(lines)), key=lambda place: _badness(lines[place]))
    for rank, place in enumerate(order):
        values[place]["rank"] = rank
    return {
        "run": record.run_name,
        "started": record.started,
        "command": f"chatter-nb revise {_shown(speech.folder)} review.json",
        "checked": is_checked(record),
        "notes": notes,
        "audio": {name: address(path) if address else "" for name, path in paths.items()},
        "peaks": {output.name: _file_peaks(speech, output) for output in record.outputs},
        "peaks_per_s": PEAKS_PER_S,
        "lines": values,
    }


def again(
    speech: Speech, edit: Edit, *, cancelled: Callable[[], bool] | None = None
) -> dict[str, Any]:
    """Make the line at an edit's place again, and return its new take for the editor.

    `edit.take` is the last take of these words that was heard; None if none was: the first take of
    new words is then made. Raises what `make_line` raises.
    """
    chunk = line_at(speech, edit).chunk
    is_first = edit.take is None and edit.words is not None
    take = 0 if is_first and edit.words != chunk.text.strip() else next_take(chunk, edit)
    line = make_line(speech, edit.model_copy(update={"take": take}), cancelled=cancelled)
    content = encoded(line.audio, line.rate_hz, "FLAC")
    values = _take_data(line.take, line.key, len(line.audio) / line.rate_hz, line.findings)
    peaks = _packed(_loudest(line.audio, line.rate_hz))
    return values | {
        "audio_url": data_url(content, "audio/flac"),
        "verdict": line.verdict,
        "peaks": peaks,
    }


def line_at(speech: Speech, edit: Edit) -> Line:
    """Return the line at an edit's place. Raises `InputError` if the run has no such line."""
    for line in _lines(speech)[0]:
        if edit_of(line.chunk).place == edit.place:
            return line
    raise InputError(f"the run has no line at {edit}: it was made again; load its review anew")


def headline(data: Mapping[str, Any]) -> str:
    """Return how many lines are in doubt, in a sentence."""
    lines, doubtful = data["lines"], sum(line["verdict"] == "doubtful" for line in data["lines"])
    if not data["checked"]:
        return f"{count(len(lines), 'line')}, not checked"
    are = "is" if doubtful == 1 else "are"
    return f"{doubtful or 'None'} of {count(len(lines), 'line')} {are} in doubt"


def _lines(speech: Speech) -> tuple[list[Line], list[str]]:
    """Return the lines of a run that sound, with their edits, and notes about other edits."""
    record, path = speech.record, speech.folder / EDITS
    if record.kind != "speak":
        raise InputError(f"{speech.folder} is a conversion: only speech has lines to review")
    edits = load_edits(path).edits if is_there(path) else ()
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
    noun = count(len(lost), "edit")
    notes = [f"{noun} not used, as the text there is gone: see {EDITS}"] if lost else []
    return [line for line in lines if line.seconds > 0], notes


def _line_data(
    speech: Speech, line: Line, words: Mapping[str, Mapping[int, Any]], address: Address | None
) -> dict[str, Any]:
    chunk, kept = line.chunk, kept_take(line.chunk)
    is_edited = line.spoken != line.text
    in_file = _take_data(chunk.take, chunk.key, line.seconds, kept.findings if kept else ())
    others = [take for take in chunk.takes if take.key != chunk.key]
    takes = [in_file | {"in_file": True}, *(_other_take(speech, t, address) for t in others)]
    speaks = _words_spoken(line) if is_edited else None
    return {
        "edit": line.edit.model_dump(mode="json"),
        "index": chunk.index,
        "text": line.text,
        "spoken": line.spoken if is_edited else None,
        "start_s": round(chunk.start_s, 3),
        "verdict": chunk.verdict,
        "reason": "; ".join(finding.reason for finding in kept.findings) if kept else "",
        "times": _times(line, words[chunk.document]),
        "takes": [take | {"words": speaks} for take in takes],
    }


def _words_spoken(line: Line) -> str:
    """Return the words of the edit that the audio speaks, as they were written."""
    words, spoken = line.edit.words, line.spoken.strip()
    return words if words is not None and words.split() == spoken.split() else spoken


def _take_data(take: int, key: str, seconds: float, findings: Iterable[Finding]) -> dict[str, Any]:
    told = [
        {
            "text": " · ".join(filter(None, (reason_in_words(finding), compared(finding)))),
            "start_s": round(finding.start_s, 2),
            "end_s": round(finding.end_s, 2),
            "about_all": is_about_all(finding),
        }
        for finding in findings
    ]
    return {"take": take, "key": key, "seconds": round(seconds, 3), "findings": told}


def _other_take(speech: Speech, take: TakeRecord, address: Address | None) -> dict[str, Any]:
    """Return the data of a take that is not in the file; without an address if it is not kept."""
    path = speech.folder / TAKES / f"{take.key}.opus"
    if address is None or not is_there(path):
        return _take_data(take.take, take.key, 0.0, take.findings)
    seconds, peaks = _peaks_of(path)
    values = _take_data(take.take, take.key, seconds, take.findings)
    return values | {"url": address(path), "peaks": peaks}


def _write_take(speech: Speech, take: TakeRecord, folder: Path) -> bool:
    try:
        sound = speech.take_audio(take)
    except ChatterError:  # its engine is not installed, and would say if it must be watermarked
        return False
    if sound is None:
        return False
    folder.mkdir(exist_ok=True)
    with AudioWriter(folder, take.key, ["opus"], sample_rate=sound[1]) as writer:
        writer.write(sound[0])
        writer.finish()
        writer.commit()
    return True


def _badness(line: Line) -> tuple[Any, ...]:
    """Return a sort key: in doubt, then most words lost, then most else; then as in the text."""
    take = kept_take(line.chunk)
    findings = take.findings if take else ()
    lost = sum(len(finding.expected.split()) for finding in findings if finding.kind in _MISSING)
    is_doubtful = line.chunk.verdict == "doubtful"
    return not is_doubtful, -lost, -len(findings), -len(line.chunk.takes), line.chunk.index


def _words(speech: Speech, output: OutputRecord) -> dict[int, list[dict[str, Any]]]:
    """Return the words of an output by the number of their chunk; none where times are unknown."""
    name = f"{output.name}{SUFFIX}"
    known = any(file.name == name for file in speech.record.word_files)
    words: dict[int, list[dict[str, Any]]] = {}
    for word in (read_json(speech.folder / name) or []) if known else []:
        words.setdefault(word["chunk"], []).append(word)
    return words


def _times(line: Line, words: Mapping[int, Sequence[Mapping[str, Any]]]) -> list[list[float]]:
    """Return place in the spoken text, start and end in seconds of the line, of each word."""
    times, offset, start_s = [], 0, line.chunk.start_s
    for part in line.parts:
        for word in words.get(part.index, ()):
            place = [offset + word["text_start"], offset + word["text_end"]]
            times.append([*place, *(round(word[k] - start_s, 2) for k in ("start_s", "end_s"))])
        offset += len(part.text)
    return times


def _files(speech: Speech, output: OutputRecord) -> list[Path]:
    return [path for path in speech.files if path.stem == output.name]


def _smallest(speech: Speech, output: OutputRecord) -> Path:
    return min(_files(speech, output), key=lambda path: path.stat().st_size)


def _file_peaks(speech: Speech, output: OutputRecord) -> str:
    return _peaks_of(max(_files(speech, output), key=play_rank))[1]


def _in_html(data: Mapping[str, Any]) -> Any:
    """Return JSON that may stand in a <script> element."""
    from markupsafe import Markup

    return Markup(json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"))
