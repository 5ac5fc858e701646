"""The review of a run: a person hears its lines, marks them, and edits their words.

The editor is `assets/review.js`; this module gives it its data, and writes the page that works
without a server. Texts, notes and reasons are data to it, never HTML.
"""

from __future__ import annotations

import base64
import json
import math
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from chatter_nb.audio.curves import duration_s, envelope, stretch
from chatter_nb.audio.reading import Signal
from chatter_nb.base.disk import is_there, write_whole
from chatter_nb.base.errors import InputError
from chatter_nb.base.formats import mime_of
from chatter_nb.base.project import shown_path
from chatter_nb.base.wording import count
from chatter_nb.pages.doubts import compared, is_about_all, is_checked, kept_take, reason_in_words
from chatter_nb.pages.lines import Line, badness, line_at, lines_of, word_times, words_of
from chatter_nb.pages.players import EMBED_LIMIT_BYTES, asset, data_url, encoded, link_from
from chatter_nb.pages.run_players import files_of, lossless_file
from chatter_nb.pages.speakers import speakers_of
from chatter_nb.pages.takes import HeardTakes, heard_takes, keep_heard, take_path, write_takes
from chatter_nb.pages.template import render
from chatter_nb.pages.waves import FULL_SCALE
from chatter_nb.runs.edits import Edit, next_take
from chatter_nb.runs.record import OutputRecord, TakeRecord
from chatter_nb.runs.revise import make_line
from chatter_nb.runs.speech import Speech

if TYPE_CHECKING:
    from chatter_nb.verify.findings import Finding

PAGE = "review.html"
LEAD_S = 2.0  # before a line, to hear how it joins; review.js has the same
PEAKS_PER_S = 50  # a stretch for two pixels of a line of ten seconds

Address = Callable[[Path], str]


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
        style=asset("page.css") + asset("review.css"),
        script=editor_script() + asset("review_page.js"),
        title=data["run"],
        headline=headline(data),
        notes=data["notes"],
        data=_in_html(data),
    )
    target = speech.folder / PAGE
    write_whole(target, page.encode("utf-8", "replace"))  # a text may hold what is no UTF-8
    return target


def write_checked_review(speech: Speech) -> Path | None:
    """Write review.html where the run was checked or has an older one, and return its path.

    Returns None for other runs. A page.html that is there is renewed too: it holds the audio.
    """
    from chatter_nb.pages import run_page  # loads what differs between runs

    if is_there(speech.folder / run_page.PAGE):
        run_page.write_page(speech.folder)
    is_wanted = is_checked(speech.record) or is_there(speech.folder / PAGE)
    return write_review(speech) if is_wanted else None


def editor_script() -> str:
    """Return the script that defines `mountReview(root, data, actions)`."""
    return "".join(map(asset, ("review_edits.js", "review_sound.js", "review.js")))


def review_data(speech: Speech, address: Address | None = None) -> dict[str, Any]:
    """Return what the editor shows of a run, as values of JSON.

    `address` gives the address of an audio file in the run's folder; without it, the editor asks
    for the audio of each line. Raises `InputError` for a conversion, which has no lines.
    """
    record = speech.record
    lines, notes = lines_of(speech)
    folder = shlex.quote(shown_path(speech.folder.resolve()))
    words = {output.name: words_of(speech, output) for output in record.outputs}
    paths = {output.name: _smallest(speech, output) for output in record.outputs}
    peaks = {o.name: _peaks_of(lossless_file(speech, o))[1] for o in record.outputs}
    heard = heard_takes(speech)
    values = [_line_data(speech, line, words, heard, address) for line in lines]
    if speakers := speakers_of(record):
        for value, line in zip(values, lines, strict=True):
            shown, mood = speakers[line.chunk.speaker], line.chunk.mood
            value["speaker"] = ", ".join(filter(None, [shown.name, mood]))
            value["colour"] = shown.colour
    order = sorted(range(len(lines)), key=lambda place: badness(lines[place]))
    for rank, place in enumerate(order):
        values[place]["rank"] = rank
    return {
        "run": record.run_name,
        "started": record.started,
        "command": f"chatter-nb revise {folder} review.json",
        "checked": is_checked(record),
        "notes": notes,
        "audio": {name: address(path) if address else "" for name, path in paths.items()},
        "peaks": peaks,
        "peaks_per_s": PEAKS_PER_S,
        "lines": values,
    }


def again(
    speech: Speech, edit: Edit, *, cancelled: Callable[[], bool] | None = None
) -> dict[str, Any]:
    """Make the line at an edit's place again, and return its new take for the editor.

    `edit.take` is the last take of these words that was heard; None if none was: the first take of
    new words is then made. If the run is checked, takes are made until one passes, at most the
    run's `tries`; the last stays, marked. Raises what `make_line` raises.
    """
    chunk = line_at(speech, edit).chunk
    is_first = edit.take is None and edit.words is not None
    take = 0 if is_first and edit.words != chunk.text.strip() else next_take(chunk, edit)
    for number in range(take, take + int(speech.record.params.get("tries", 1))):
        line = make_line(speech, edit.model_copy(update={"take": number}), cancelled=cancelled)
        if line.verdict != "doubtful" or (cancelled and cancelled()):
            break
    values = _take_data(line.take, line.key, len(line.audio) / line.rate_hz, line.findings)
    values |= {"verdict": line.verdict, "peaks": _packed(_loudest(line.audio, line.rate_hz))}
    keep_heard(speech, edit, line, values | {"words": edit.words})
    content = encoded(line.audio, line.rate_hz, "FLAC")
    return values | {"audio_url": data_url(content, "audio/flac")}


def line_audio(speech: Speech, edit: Edit, key: str) -> dict[str, Any]:
    """Return the audio of the take `key` of a line: an address, and the second where it begins.

    The take in the file has `LEAD_S` of what stands before the line. Raises `InputError` if the
    audio of a take is no longer kept.
    """
    line = line_at(speech, edit)
    if key == line.chunk.key:
        start_s = max(0.0, line.chunk.start_s - LEAD_S)
        output = next(o for o in speech.record.outputs if o.name == line.chunk.document)
        path = lossless_file(speech, output)
        content = encoded(*stretch(path, start_s=start_s, end_s=line.parts[-1].end_s), "FLAC")
        return {"url": data_url(content, "audio/flac"), "zero_s": line.chunk.start_s - start_s}
    path = take_path(speech, key)
    known = {take.key for take in line.chunk.takes}
    known |= {take["key"] for take in heard_takes(speech).get(line.edit.place, ())}
    if key not in known or not is_there(path):
        raise InputError("the audio of this take is not kept: make the line again")
    return {"url": data_url(path.read_bytes(), mime_of(path)), "zero_s": 0.0}


def headline(data: Mapping[str, Any]) -> str:
    """Return how many lines are in doubt, in a sentence."""
    lines, doubtful = data["lines"], sum(line["verdict"] == "doubtful" for line in data["lines"])
    if not data["checked"]:
        return f"{count(len(lines), 'line')}, not checked"
    are = "is" if doubtful == 1 else "are"
    return f"{doubtful or 'None'} of {count(len(lines), 'line')} {are} in doubt"


def _line_data(
    speech: Speech,
    line: Line,
    words: Mapping[str, Mapping[int, Any]],
    heard: HeardTakes,
    address: Address | None,
) -> dict[str, Any]:
    chunk, kept = line.chunk, kept_take(line.chunk)
    is_edited = line.spoken != line.text
    said = " ".join(part.spoken or part.text for part in line.parts)
    in_file = _take_data(chunk.take, chunk.key, line.seconds, kept.findings if kept else ())
    others = [take for take in chunk.takes if take.key != chunk.key]
    takes = [in_file | {"in_file": True}, *(_other_take(speech, t, address) for t in others)]
    takes = [take | {"words": line.spoken_words} for take in takes]
    known = {take["key"] for take in takes}
    for take in heard.get(line.edit.place, ()):
        if take["key"] not in known:
            path = take_path(speech, take["key"])
            takes.append(take | {"url": address(path) if address else ""})
    return {
        "edit": line.edit.model_dump(mode="json"),
        "index": chunk.index,
        "text": line.text,
        "spoken": line.spoken if is_edited else None,
        "said": " ".join(said.split()) if any(part.spoken for part in line.parts) else None,
        "start_s": round(chunk.start_s, 3),
        "verdict": chunk.verdict,
        "unspoken": chunk.unspoken,
        "reason": "; ".join(finding.reason for finding in kept.findings) if kept else "",
        "times": word_times(line, words[chunk.document]),
        "takes": takes,
    }


def _take_data(take: int, key: str, seconds: float, findings: Iterable[Finding]) -> dict[str, Any]:
    texts = [
        {
            "text": " · ".join(filter(None, (reason_in_words(finding), compared(finding)))),
            "start_s": round(finding.start_s, 2),
            "end_s": round(finding.end_s, 2),
            "about_all": is_about_all(finding),
        }
        for finding in findings
    ]
    return {"take": take, "key": key, "seconds": round(max(seconds, 0.01), 3), "findings": texts}


def _other_take(speech: Speech, take: TakeRecord, address: Address | None) -> dict[str, Any]:
    """Return the data of a take that is not in the file; without peaks if review/ has it not."""
    path = take_path(speech, take.key)
    seconds, peaks = _peaks_of(path) if is_there(path) else (0.0, "")
    values = _take_data(take.take, take.key, seconds, take.findings)
    return values | {"url": address(path) if address and peaks else "", "peaks": peaks}


def _smallest(speech: Speech, output: OutputRecord) -> Path:
    return min(files_of(speech, output), key=lambda path: path.stat().st_size)


def _peaks_of(path: Path) -> tuple[float, str]:
    """Return the length of a file in seconds, and its loudness in stretches; see `_packed`."""
    seconds = duration_s(path)
    _, low, high = envelope(path, bins=max(1, math.ceil(seconds * PEAKS_PER_S)))
    return seconds, _packed(np.maximum(-low, high))


def _loudest(audio: Signal, rate_hz: int) -> np.ndarray:
    starts = np.arange(0, len(audio), rate_hz // PEAKS_PER_S)
    return np.maximum.reduceat(np.abs(audio), starts)


def _packed(loudest: np.ndarray) -> str:
    """Return the loudest sample of each stretch as base64 of bytes, 127 at full scale."""
    levels = np.rint(np.clip(np.nan_to_num(loudest), 0, 1) * FULL_SCALE)
    return base64.b64encode(levels.astype(np.uint8).tobytes()).decode()


def _in_html(data: Mapping[str, Any]) -> Any:
    """Return JSON that may stand in a <script> element."""
    from markupsafe import Markup

    return Markup(json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"))
