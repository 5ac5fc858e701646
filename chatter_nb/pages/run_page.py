"""Writes the page of a run, `page.html`: one file to hand to a reviewer, which opens anywhere.

First what the checks found, then the audio with its text, the lines in doubt, and the parameters
that differ from their defaults. The audio is inside the page up to `EMBED_LIMIT_BYTES`; beyond, the
page links the file beside it and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from chatter_nb.base.disk import write_whole
from chatter_nb.base.errors import ChatterError, InputError
from chatter_nb.base.formats import mime_of, play_rank
from chatter_nb.base.project import project_root
from chatter_nb.base.wording import count
from chatter_nb.pages.compact import compact_audio
from chatter_nb.pages.doubts import doubtful, is_checked
from chatter_nb.pages.gallery.differing import contrast
from chatter_nb.pages.gallery.page import in_words
from chatter_nb.pages.gallery.rows import is_apart
from chatter_nb.pages.players import (
    EMBED_LIMIT_BYTES,
    asset,
    before_after,
    data_url,
    link_from,
    waveform_player,
)
from chatter_nb.pages.run_players import files_of, picture_of, script_of, source_of
from chatter_nb.pages.template import render
from chatter_nb.params.fields import fields_of
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.folder import RECORD
from chatter_nb.runs.record import ChunkRecord, RunRecord
from chatter_nb.runs.speech import Speech, doubtful_chunks, load_speech

PAGE = "page.html"


@dataclass(frozen=True)
class Listening:
    """An output on the page: its player's HTML, its text, and its file if that is beside it."""

    name: str
    player: str
    text: str
    beside: str
    said: tuple[ChunkRecord, ...]  # chunks for which the voice was given another text


def write_page(folder: Path) -> Path:
    """Write `page.html` into a run's folder, and return its path.

    Raises `InputError` if the folder holds no run, or if its audio is gone or damaged, and
    `OutputError` if the page cannot be written.
    """
    from markupsafe import Markup

    speech = load_speech(folder)
    record = speech.record
    (shared,) = contrast([record]).shared
    tone, sentence = verdict(record)
    doubts = doubtful(speech) if doubtful_chunks(record) else None
    page = render(
        "run_page.html",
        style=asset("page.css") + asset("run_page.css"),
        with_players=True,
        record=record,
        tone=tone,
        verdict=sentence,
        length=in_words(record.audio_s),
        outputs=list(_listening(speech)),
        doubts=Markup(doubts.data if doubts else ""),
        chosen=_labelled(record, shared.chosen),
        defaults=_labelled(record, shared.defaults),
        in_doubt=len(doubtful_chunks(record)),
        raw=Markup,
        count=count,
    )
    target = folder / PAGE
    write_whole(target, page.encode("utf-8", "replace"))
    return target


def write_pages(folder: Path, on_problem: Callable[[str], None]) -> int:
    """Write the page of each finished run in a folder that has none, or an older one.

    Runs one folder deeper, such as those of a batch, are among them. Returns the number of pages.
    """
    written = 0
    for path in sorted({*folder.glob(f"*/{RECORD}"), *folder.glob(f"*/*/{RECORD}")}):
        inside = path.relative_to(folder).parts
        is_hidden = is_apart(folder / inside[0]) or any(part.startswith(".") for part in inside)
        if is_hidden or _is_fresh(path.parent / PAGE, path):
            continue
        try:
            if load_speech(path.parent).record.status == "ok":
                write_page(path.parent)
                written += 1
        except ChatterError as error:
            on_problem(f"no page of {path.parent.name}: {error}")
    return written


def verdict(record: RunRecord) -> tuple[str, str]:
    """Return what is known of a run's audio: a class of `page.css` for its colour, a sentence."""
    if record.status != "ok":
        return "failed", f"This run did not finish ({record.status})"
    if record.kind == "convert":
        return "", f"{count(len(record.outputs), 'recording')} converted; no check compares them"
    if record.checks is None or not is_checked(record):
        return "", "Not checked: nothing has compared the audio with its text"
    doubts, checked = len(doubtful_chunks(record)), count(record.checks.checked, "checked chunk")
    unchecked = sum(chunk.verdict == "unchecked" for chunk in record.chunks)
    more = f"; {unchecked} could not be checked" if unchecked else ""
    if doubts:
        are = "is" if doubts == 1 else "are"
        return "cancelled", f"{doubts} of {checked} {are} in doubt{more}"
    say = "says" if record.checks.checked == 1 else "say"
    return "ok", f"Nothing is in doubt: {checked} {say} the text{more}"


def _listening(speech: Speech) -> Iterator[Listening]:
    """Yield the outputs; their audio is inside the page as long as there is room for it."""
    left_bytes, record = EMBED_LIMIT_BYTES, speech.record
    for output in record.outputs:
        files, seconds = files_of(speech, output), output.audio_s
        if not all(path.is_file() for path in files):
            raise InputError(f"the audio of {speech.folder} is gone: {output.name}; run it again")
        audio = compact_audio(files, seconds=seconds, limit_bytes=left_bytes)
        path = min(files, key=play_rank)
        url, mime = link_from(path, speech.folder), mime_of(path)
        if audio:
            left_bytes -= len(audio[0])
            url, mime = data_url(*audio), audio[1]
        label = f"{output.name}, {in_words(output.audio_s)}"
        player = waveform_player([url], mime, label, picture_of(speech, output))
        source = source_of(speech, output)
        if source and (sound := compact_audio([source], seconds=seconds, limit_bytes=left_bytes)):
            left_bytes -= len(sound[0])
            player = before_after(player, [data_url(*sound)], sound[1], f"source: {source.name}")
        beside = "" if audio else path.name
        text = script_of(record, output)
        chunks = record.chunks[output.first_chunk : output.first_chunk + output.chunks]
        said = tuple(chunk for chunk in chunks if chunk.spoken)
        yield Listening(output.name, player, text, beside, said)


def _labelled(record: RunRecord, values: dict[str, str]) -> dict[str, str]:
    """Return parameters under their labels; the text has a place of its own on the page."""
    fields = fields_of(ConvertParams if record.kind == "convert" else SpeakParams)
    labels = {name: fields[name].label if name in fields else name for name in values}
    return {labels[name]: _near(value) for name, value in values.items() if name != "text"}


def _near(value: str) -> str:
    """Return a path as seen from the project; of a path elsewhere, the name only."""
    path = Path(value)
    if not value.startswith(("/", "\\")) and not path.is_absolute():
        return value
    root = project_root()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _is_fresh(page: Path, record: Path) -> bool:
    try:
        return page.stat().st_mtime_ns >= record.stat().st_mtime_ns
    except OSError:
        return False
