"""The web page at /ui: Speak and Convert by hand, over the same tasks as every other route.

Players and downloads are the service's own addresses, so that Gradio keeps no copies; uploads go
through the same checks as those of a form.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from itertools import groupby
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI
from starlette.routing import Mount

from chatter_nb.base.errors import Cancelled
from chatter_nb.engines.base import KNOBS
from chatter_nb.engines.registry import entry
from chatter_nb.params.fields import COMMON, Field, fields_of
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.lifecycle import Progress
from chatter_nb.runs.speech import Speech
from chatter_nb.serve.bodies import RECORDINGS, open_names
from chatter_nb.serve.errors import problem_of
from chatter_nb.serve.middleware import UI
from chatter_nb.serve.page_border import PageBorder
from chatter_nb.serve.responses import check_length
from chatter_nb.serve.service import PAGE_UPLOADS, UPLOADS, Service, new_name
from chatter_nb.serve.ui_parts import control, player, recording, sentence, steps
from chatter_nb.serve.uploads import keep_upload
from chatter_nb.serve.worker import Task

Kind = type[SpeakParams] | type[ConvertParams]
_LOOK_S = 0.2  # how often a waiting page is told how far it is
_SEEN = 20  # runs in a page's history
_WIDE = ("text", "voice", "source", "target", "replacements", "takes", "formats")
_FONTS = ["ui-sans-serif", "system-ui", "sans-serif"]  # of the reader's machine: nothing is fetched
_CSS = """
.take { border-top: 1px solid var(--border-color-primary); padding: .6rem 0 }
.take audio { width: 100%; margin: .3rem 0 }
.take p { margin: 0; overflow-wrap: anywhere }
.take a { text-decoration: underline; margin-right: 1rem }
.dim { color: var(--body-text-color-subdued) }
.status { margin: .2rem 0 }
.status progress { width: 100% }
.status.wrong { color: var(--error-text-color, #b91c1c); white-space: pre-line; font-weight: 600 }
"""


def add_page(app: FastAPI, service: Service) -> None:
    """Mount the page on the application."""
    theme = gr.themes.Default(font=_FONTS, font_mono=["ui-monospace", "monospace"])
    theme.set(  # Gradio's own grey is too pale on white to be read: 1.9 to 1
        body_text_color_subdued="*neutral_500",
        block_info_text_color="*neutral_500",
        input_placeholder_color="*neutral_500",
    )
    page = _page(service).queue(max_size=service.settings.max_queue)
    # Gradio asks which files it may touch only once it has launched, which a mounted page never
    # does. The border lets none through; this is the second lock.
    page.has_launched = True
    gr.mount_gradio_app(
        app,
        page,
        path=UI,
        max_file_size=service.settings.limits.upload_bytes,
        theme=theme,
        css=_CSS,
        footer_links=[],
        ssr_mode=False,
        enable_monitoring=False,
        run_history=False,
    )
    mount = next(route for route in app.routes if isinstance(route, Mount) and route.path == UI)
    mount.app = PageBorder(mount.app, page, service.settings.outputs / PAGE_UPLOADS)


def _page(service: Service) -> gr.Blocks:
    with gr.Blocks(title="chatter_nb", analytics_enabled=False) as page:
        gr.Markdown(f"# chatter_nb\n{_who(service)}")
        with gr.Tab("Speak"):
            _Sheet(service, SpeakParams, "Speak").draw()
        with gr.Tab("Convert"):
            _Sheet(service, ConvertParams, "Convert").draw()
    return page


def _who(service: Service) -> str:
    speaks, converts = service.catalog.choice(), service.catalog.choice(convert=True)
    return f"`auto` speaks with **{speaks}** and converts with **{converts}**."


class _Sheet:
    """The controls of one kind of run, its buttons, and what they do."""

    def __init__(self, service: Service, kind: Kind, verb: str) -> None:
        self._service, self._kind, self._verb = service, kind, verb
        self._convert = kind is ConvertParams
        self._running: dict[str, Task[Speech]] = {}  # by the page that waits for it
        self._names: list[str] = []
        self._inputs: list[Any] = []
        self._followers: dict[str, Any] = {}  # what another engine changes

    def draw(self) -> None:
        """Common fields in sight, the others folded; below them the buttons, and what was made."""
        common = [name for name in COMMON[self._kind] if name in open_names(self._kind)]
        with gr.Row():
            with gr.Column(scale=3):
                self._add(common)
                with gr.Accordion("More", open=False):
                    self._add([name for name in open_names(self._kind) if name not in common])
            with gr.Column(scale=2):
                with gr.Row():
                    go = gr.Button(self._verb, variant="primary")
                    stop = gr.Button("Cancel")
                status = gr.HTML(elem_classes=["result"])
                made = gr.HTML()
                history = gr.State([])
        followers = list(self._followers.values())
        self._engine.change(self._follow, self._engine, followers, api_visibility="private")
        inputs = [history, *self._inputs]
        open_to_all: dict[str, Any] = {"api_visibility": "private"}
        go.click(self._run, inputs, [status, made, history], concurrency_limit=None, **open_to_all)
        stop.click(self._cancel, None, None, queue=False, **open_to_all)

    def _add(self, names: list[str]) -> None:
        """Short ones beside each other, as many as the page is wide; a recording by name or upload
        is a choice of its own."""
        fields = fields_of(self._kind)
        recordings = RECORDINGS[self._kind]
        for _, alike in groupby(names, lambda name: name if name in recordings else name in _WIDE):
            with gr.Row():
                for name in alike:
                    self._draw(name, fields[name])

    def _draw(self, name: str, field: Field) -> None:
        made = control(field, self._choices(name), visible=self._takes("auto", name))
        self._keep(name, made)
        if name == "engine":
            self._engine = made
        if name == "voice" or name in KNOBS:
            self._followers[name] = made
        if name in RECORDINGS[self._kind]:
            shown = name != "voice" or self._clones("auto")
            upload = recording(f"or upload a {field.label}", visible=shown)
            self._keep(f"{name} recording", upload)
            if name == "voice":
                self._followers[f"{name} recording"] = upload

    def _keep(self, name: str, made: Any) -> None:
        self._names.append(name)
        self._inputs.append(made)

    def _choices(self, name: str) -> list[str] | None:
        """What there is on this server, of a field that names such; None for other fields."""
        catalog = self._service.catalog
        if name == "engine":
            return ["auto", *catalog.engines(convert=self._convert)]
        if name == "voice":
            return catalog.voices(catalog.choice().name)
        return ["", *catalog.recordings()] if name in RECORDINGS[self._kind] else None

    def _follow(self, engine: str) -> list[Any]:
        """Another engine's voices and knobs; a recording only where it is cloned. What goes out of
        sight is as if it had not been set.
        """
        return [self._followed(name, engine) for name in self._followers]

    def _followed(self, name: str, engine: str) -> Any:
        if name == "voice":
            names = self._service.catalog.voices(self._named(engine))
            return gr.update(choices=names, value=names[0])
        if name in KNOBS:
            default = fields_of(self._kind)[name].default
            return gr.update(visible=self._takes(engine, name), value=default)
        return gr.update(visible=self._clones(engine), value=None)

    def _takes(self, engine: str, name: str) -> bool:
        """Whether an engine takes a parameter; those that are not of engines all do."""
        taken = entry(self._named(engine), convert=self._convert).takes
        return name not in KNOBS or name in taken

    def _clones(self, engine: str) -> bool:
        return self._service.catalog.clones(self._named(engine))

    def _named(self, engine: str) -> str:
        """What `auto` stands for here."""
        choice = self._service.catalog.choice(convert=self._convert)
        return choice.name if engine == "auto" else engine

    def _cancel(self, request: gr.Request) -> None:
        if task := self._running.get(str(request.session_hash)):
            task.cancel()

    def _run(
        self, request: gr.Request, history: list[str], *given: Any
    ) -> Iterator[tuple[str, str, list[str]]]:
        """Told how far it is, until it is made; whatever goes wrong is a sentence."""
        page, made, seen = str(request.session_hash), "".join(history), history
        uploads: dict[str, Path] = {}
        try:
            values = self._values(given, uploads)
            told: list[tuple[float, Progress]] = []
            task = self._begin(values, uploads, lambda step: told.append((time.monotonic(), step)))
            if self._running.setdefault(page, task) is not task:
                task.cancel()
                yield sentence("one is in hand: wait for it, or cancel it"), made, seen
                return
            try:
                while not task.result.done():
                    yield steps(told), made, seen
                    time.sleep(_LOOK_S)
                history = [player(task.result.result(), values), *history][:_SEEN]
                yield "", "".join(history), history
            finally:
                self._running.pop(page, None)
                task.cancel()  # nothing, unless the page has gone
        except (Cancelled, CancelledError):
            yield sentence("stopped; what is finished is kept: ask again to go on"), made, seen
        except Exception as error:
            yield sentence(str(problem_of(error))), made, seen
        finally:
            for path in uploads.values():
                path.unlink(missing_ok=True)

    def _values(self, given: tuple[Any, ...], uploads: dict[str, Path]) -> dict[str, Any]:
        """What was set, by name; recordings are checked and kept among `uploads`."""
        fields, values = fields_of(self._kind), {}
        for name, value in zip(self._names, given, strict=True):
            part, _, is_recording = name.partition(" ")
            if is_recording and value:
                uploads[part] = self._kept(part, value)
            elif not is_recording and (value not in (None, "", []) or name == "text"):
                whole = fields[name].kind == "number" and isinstance(value, int)
                values[name] = float(value) if whole else value
        if not self._convert:
            check_length(values, "text", self._service.settings.limits.text_chars)
        return self._kind.coerce(values)

    def _kept(self, part: str, path: str) -> Path:
        settings = self._service.settings
        limits = settings.limits
        longest_s = limits.source_s if part == "source" else limits.voice_s
        with Path(path).open("rb") as file:
            return keep_upload(file, settings.outputs / UPLOADS, part=part, longest_s=longest_s)

    def _begin(
        self,
        values: dict[str, Any],
        uploads: dict[str, Path],
        progress: Callable[[Progress], object],
    ) -> Task[Speech]:
        catalog = self._service.catalog
        if self._convert:
            params = catalog.conversion(values, new_name("vc"), uploads)
            return self._service.convert(params, progress=progress)
        speech = catalog.speech(values, new_name("tts"), uploads)
        return self._service.speak(speech, progress=progress)
