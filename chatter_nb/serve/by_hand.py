"""Runs that a person begins on the web page: from the values of its controls to HTML."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.datastructures import UploadFile

from chatter_nb.base.errors import Cancelled, ChatterError
from chatter_nb.base.wording import count, minutes
from chatter_nb.engines.registry import entry
from chatter_nb.pages.players import playing
from chatter_nb.pages.run_players import SOURCES
from chatter_nb.params.fields import fields_of
from chatter_nb.params.runs import AnyParams, SpeakParams
from chatter_nb.runs.lifecycle import Progress
from chatter_nb.runs.outline import outline
from chatter_nb.runs.speech import Speech
from chatter_nb.serve.bodies import DOCUMENT, UPLOADED, Kind
from chatter_nb.serve.errors import problem_of, without_folders
from chatter_nb.serve.live import Live, Lives
from chatter_nb.serve.outputs import UPLOADS, drop_sources, keep, new_name
from chatter_nb.serve.page_html import history_html, progress_html, sentence, take_html
from chatter_nb.serve.responses import check_source
from chatter_nb.serve.service import Service
from chatter_nb.serve.worker import Task
from chatter_nb.text.files import read_sources

CHAPTERS = "chapters"
# Uploads that stay in the run's folder: heard beside the result, spoken again with edits.
_STAY = ("source", *UPLOADED)
_LOOK_S = 0.1  # between two updates of a page that waits for a run
_LOAD_S, _SMALL_LOAD_S = 20.0, 2.0  # of a Chatterbox model on a fair disk, and of others


class ByHand:
    """Makes the runs of one kind, one at a time a page, from the values of the controls `names`."""

    def __init__(self, service: Service, lives: Lives, kind: Kind, names: Sequence[str]) -> None:
        self._service, self._lives, self._kind, self._names = service, lives, kind, names
        self._running: dict[str, Task[Speech]] = {}  # by the session of the page that waits

    def cancel(self, request: gr.Request) -> None:
        if task := self._running.get(str(request.session_hash)):
            task.cancel()

    def run(self, request: gr.Request, hear: str, *inputs: Any) -> Iterator[tuple[Any, ...]]:
        """Make a run. Yields HTML: progress or an error, the live player, the run, earlier runs."""
        session, skip = str(request.session_hash), gr.skip()
        if session in self._running:
            yield sentence("A run is in hand: wait for it, or cancel it."), skip, skip, skip
            return
        uploads: dict[str, Path] = {}
        name = new_name("tts" if self._kind is SpeakParams else "vc")
        kept = self._service.settings.outputs / name / SOURCES
        steps: list[tuple[float, Progress]] = []
        live: Live | None = None
        try:
            values = self._values(inputs, uploads, kept)
            params = self._service.catalog.run(self._kind, values, uploads, name)
            limits, is_job = self._service.settings.limits, DOCUMENT in uploads
            text = check_source(params, limits, is_job=is_job)
            self._service.catalog.check_marks(params, text)
            live = self._lives.begin(params.run_name, hear)
            task = self._submit(params, live, steps)
            self._running[session] = task
            try:
                yield progress_html(steps, self.waits_for(params)), "", "", skip
                while not task.result.done():
                    wait = time.sleep if live.has_begun.is_set() else live.has_begun.wait
                    wait(_LOOK_S)  # its player is shown at once
                    waits_for = self.waits_for(params)
                    status = progress_html(steps, waits_for, live.starts_s)
                    yield status, live.take_player() or skip, skip, skip
                speech = task.result.result()
                take = take_html(speech)
                earlier = history_html(self._service.settings.outputs, self._kind.kind, skip=name)
                # It starts by itself if nothing is heard yet.
                yield "", skip, take if live.is_shown else playing(take), earlier
            finally:
                self._running.pop(session, None)
                task.cancel()  # changes nothing, unless the page is gone
        except (Cancelled, CancelledError):
            yield sentence(_stopped(steps)), live.stopped_player() if live else "", "", skip
        except Exception as error:
            yield sentence(str(problem_of(error)), is_error=True), "", "", skip
        finally:
            drop_sources(kept.parent)
            for path in uploads.values():
                if path.parent != kept:
                    path.unlink(missing_ok=True)

    def _submit(
        self, params: AnyParams, live: Live, steps: list[tuple[float, Progress]]
    ) -> Task[Speech]:
        def on_progress(step: Progress) -> None:
            live.note_chunk()
            steps.append((time.monotonic(), step))

        is_book = bool(getattr(params, DOCUMENT, ""))  # as a job it lets requests pass
        task = self._service.submit(
            params, on_progress=on_progress, listener=live.listener, job=is_book
        )
        self._lives.follow(params.run_name, live, task)
        return task

    def waits_for(self, params: AnyParams) -> str:
        """What a run waits for that has not begun to speak."""
        engine = entry(params.engine, params.kind)
        if engine.key not in self._service.catalog.loaded:
            return (
                f"{engine.name} is loading, {minutes(_LOAD_S if engine.files else _SMALL_LOAD_S)}"
            )
        is_in_line = self._service.worker(engine).waiting() > 0
        return "waiting for its turn" if is_in_line else "speaking"

    def _values(
        self, inputs: tuple[Any, ...], uploads: dict[str, Path], kept: Path
    ) -> dict[str, Any]:
        """The controls' values by name; paths of uploads go into `uploads`, some in `kept`."""
        fields, settings = fields_of(self._kind), self._service.settings
        values: dict[str, Any] = {}
        for name, value in zip(self._names, inputs, strict=True):
            part, _, is_upload = name.partition(" ")
            if is_upload and value:
                folder = kept if part in _STAY else settings.outputs / UPLOADS
                with Path(value).open("rb") as file:
                    upload = UploadFile(file, filename=Path(value).name)
                    uploads[part] = keep(part, upload, folder, settings.limits)
            elif name == CHAPTERS:
                values[name] = ",".join(value or ())
            elif not is_upload and (value not in (None, "", []) or name == "text"):
                whole = fields[name].kind == "number" and isinstance(value, int)
                values[name] = float(value) if whole else value
        if values.get("speed") == 1:  # the voice's own, as for an engine without speeds
            values.pop("speed")
        if DOCUMENT in uploads:
            values.pop("text")
        return self._kind.coerce(values)


def size_of(default: str, text: str, *more: Any) -> str:
    """How long a text, or what is chosen of a document, is: in characters and minutes, as HTML.

    `more`: document, chapters, speed, language, engine. A text in another language has a note.
    """
    document, chapters, speed, language, engine = more or (None, None, 1, "", "auto")
    chosen, spoken = ",".join(chapters or ()), {"speed": speed, "language": language or None}
    source = {DOCUMENT: document, CHAPTERS: chosen} if document else {"text": text}
    try:
        params = SpeakParams.create({**source, **spoken}, where="page")
        size = outline(params, entry(default if engine == "auto" else engine))
    except ChatterError:
        return "nothing to speak yet" if not text.strip() else f"{len(text):,} characters"
    length = f"{size.chars:,} characters, {minutes(size.audio_s)} of audio"
    return "".join([length, *map(sentence, size.notes)])


def open_document(path: str | None) -> tuple[Any, ...]:
    """Updates of text, document, chapters and status; None, or what cannot be read, closes it."""
    gone = gr.update(value=None, visible=False), gr.update(value=[], visible=False)
    shut = gr.update(visible=True), *gone
    if not path:
        return *shut, ""
    try:
        [source] = read_sources(Path(path))
    except ChatterError as error:
        return *shut, sentence(without_folders(str(error)), is_error=True)
    names = [(f"{c.number} {c.title}", str(c.number)) for c in source.book.chapters if c.blocks]
    title = f" of “{source.book.title}”" if source.book.title else ""
    label = f"{CHAPTERS}{title}: all {len(names)}, unless you choose some"
    chapters = gr.update(choices=names, value=[], label=label, visible=True)
    opened = gr.update(visible=False), gr.update(value=path, visible=True), chapters
    return *opened, sentence(source.note)


def _stopped(steps: list[tuple[float, Progress]]) -> str:
    if not steps:
        return "Stopped before anything was made. Press the button to begin again."
    step = steps[-1][1]
    return (
        f"Stopped: {step.done} of {count(step.total, 'chunk')} are kept, and you can hear them "
        "here. Press the button to go on from there."
    )
