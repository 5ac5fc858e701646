"""The web page at /ui: Speak and Convert by hand, with the same tasks as every other route.

Players and downloads use the addresses of the service, so that Gradio keeps no copies. Uploads go
through the same checks as the uploads of a form.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from itertools import groupby
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI

from chatter_nb.base.errors import Cancelled
from chatter_nb.engines.registry import entry
from chatter_nb.params.fields import COMMON, Field, fields_of
from chatter_nb.params.runs import KNOBS, ConvertParams, SpeakParams
from chatter_nb.runs.lifecycle import Progress
from chatter_nb.runs.speech import Speech
from chatter_nb.serve.bodies import RECORDINGS, Kind, open_names
from chatter_nb.serve.errors import problem_of
from chatter_nb.serve.live import HEAR, Live, Lives
from chatter_nb.serve.outputs import keep_recording
from chatter_nb.serve.page_border import mount_page
from chatter_nb.serve.page_html import player, progress_html, sentence
from chatter_nb.serve.responses import check_length
from chatter_nb.serve.service import Service
from chatter_nb.serve.worker import Task

_LOOK_S = 0.2  # between two updates of a page that waits for a run
_HISTORY_RUNS = 20
_FOLLOWERS = ("voice", "voice recording", *KNOBS)  # controls that depend on the engine
_WIDE = ("text", "voice", "source", "target", "replacements", "takes", "formats")
_TEXT_LINES = 8
_FONTS = ["ui-sans-serif", "system-ui", "sans-serif"]  # of the reader's machine: nothing is fetched
_CSS = """
.take { border-top: 1px solid var(--border-color-primary); padding: .6rem 0 }
.live audio, .take audio { width: 100%; margin: .3rem 0 }
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
    mount_page(app, _page(service, app.state.lives), service.settings, theme=theme, css=_CSS)


def _page(service: Service, lives: Lives) -> gr.Blocks:
    with gr.Blocks(title="chatter_nb", analytics_enabled=False) as page:
        speaks, converts = service.catalog.choice(), service.catalog.choice("convert")
        about = f"`auto` speaks with **{speaks}** and converts with **{converts}**."
        gr.Markdown(f"# chatter_nb\n{about}")
        with gr.Tab("Speak"):
            _Sheet(service, lives, SpeakParams, "Speak").draw()
        with gr.Tab("Convert"):
            _Sheet(service, lives, ConvertParams, "Convert").draw()
    return page


class _Sheet:
    """The controls of a kind of run, its buttons, and what they do."""

    def __init__(self, service: Service, lives: Lives, kind: Kind, verb: str) -> None:
        self._service, self._lives, self._kind, self._verb = service, lives, kind, verb
        self._running: dict[str, Task[Speech]] = {}  # by the session of the page that waits
        self._inputs: dict[str, Any] = {}
        self._default_engine = service.catalog.choice(kind.kind).name

    def draw(self) -> None:
        """Draw common fields, the other fields folded, and beside them buttons and results."""
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
                hear = gr.Dropdown(
                    choices=list(HEAR),
                    value=HEAR[0] if self._kind is SpeakParams else "off",
                    label="hear it while it is made",
                    info="auto: if the engine is faster than real time",
                    visible=self._kind is SpeakParams,
                )
                status = gr.HTML(elem_classes=["result"])
                live = gr.HTML(elem_classes=["live"])
                runs = gr.HTML()
                history = gr.State([])
        engine = self._inputs["engine"]
        followers = [control for name, control in self._inputs.items() if name in _FOLLOWERS]
        engine.change(self._follow, engine, followers, api_visibility="private")
        go.click(
            self._run,
            [history, hear, *self._inputs.values()],
            [status, live, runs, history],
            concurrency_limit=None,
            api_visibility="private",
        )
        stop.click(self._cancel, None, None, queue=False, api_visibility="private")

    def _add(self, names: list[str]) -> None:
        """Draw fields: short fields share a row; a recording's name and upload have a row."""
        fields = fields_of(self._kind)
        recordings = RECORDINGS[self._kind]
        for _, row in groupby(names, lambda name: name if name in recordings else name in _WIDE):
            with gr.Row():
                for name in row:
                    self._draw(name, fields[name])

    def _draw(self, name: str, field: Field) -> None:
        is_visible = self._is_visible(name, self._default_engine)
        self._inputs[name] = _control(field, self._choices(name), visible=is_visible)
        if name in RECORDINGS[self._kind]:
            upload = f"{name} recording"
            self._inputs[upload] = gr.Audio(
                sources=["upload", "microphone"],
                editable=False,
                label=f"or upload a {field.label}",
                type="filepath",
                visible=self._is_visible(upload, self._default_engine),
            )

    def _is_visible(self, name: str, engine: str) -> bool:
        """Whether a control is shown: an engine's knobs, and an upload of a voice to clone."""
        if name in KNOBS:
            return name in entry(engine, self._kind.kind).accepts
        return name != "voice recording" or self._service.catalog.clones(engine)

    def _choices(self, name: str) -> list[str] | None:
        """The engines, voices or recordings of this server; None for a field that names none."""
        catalog = self._service.catalog
        if name == "engine":
            return ["auto", *catalog.engines(self._kind.kind)]
        if name == "voice":
            return catalog.voices(self._default_engine)
        return ["", *catalog.recordings()] if name in RECORDINGS[self._kind] else None

    def _follow(self, engine: str) -> list[Any]:
        """Updates of the controls that depend on the engine; each gets its default value."""
        engine = self._default_engine if engine == "auto" else engine
        updates = []
        for name in (name for name in self._inputs if name in _FOLLOWERS):
            if name == "voice":
                voices = self._service.catalog.voices(engine)
                updates.append(gr.update(choices=voices, value=voices[0]))
            else:
                default = fields_of(self._kind)[name].default if name in KNOBS else None
                is_visible = self._is_visible(name, engine)
                updates.append(gr.update(visible=is_visible, value=default))
        return updates

    def _cancel(self, request: gr.Request) -> None:
        if task := self._running.get(str(request.session_hash)):
            task.cancel()

    def _run(
        self, request: gr.Request, history: list[str], hear: str, *inputs: Any
    ) -> Iterator[tuple[Any, ...]]:
        """Make a run. Yields its progress and then its player, or a sentence about an error; each
        with what is heard meanwhile, and the history of the page, as HTML and as a list.
        """
        session, shown = str(request.session_hash), ("".join(history), history)
        uploads: dict[str, Path] = {}
        try:
            values = self._values(inputs, uploads)
            steps: list[tuple[float, Progress]] = []
            params = self._service.catalog.run(self._kind, values, uploads)
            live = self._lives.begin(params.run_name, hear)
            task = self._service.submit(
                params,
                on_progress=lambda step: steps.append((time.monotonic(), step)),
                listener=live.listener if live else None,
            )
            if live:
                live.follow(task)
            if self._running.setdefault(session, task) is not task:
                task.cancel()
                yield sentence("a run is in hand: wait for it, or cancel it"), gr.skip(), *shown
                return
            try:
                while not task.result.done():
                    yield progress_html(steps), _heard(live), *shown
                    time.sleep(_LOOK_S)
                history = [player(task.result.result(), values), *history][:_HISTORY_RUNS]
                yield "", gr.skip(), "".join(history), history
            finally:
                self._running.pop(session, None)
                task.cancel()  # changes nothing, unless the page is gone
        except (Cancelled, CancelledError):
            yield sentence("stopped; what is finished is kept: ask again to go on"), "", *shown
        except Exception as error:
            yield sentence(str(problem_of(error))), "", *shown
        finally:
            for path in uploads.values():
                path.unlink(missing_ok=True)

    def _values(self, inputs: tuple[Any, ...], uploads: dict[str, Path]) -> dict[str, Any]:
        """The values of the controls by name. Uploaded recordings are checked, and their paths are
        put into `uploads`.
        """
        fields, values = fields_of(self._kind), {}
        for name, value in zip(self._inputs, inputs, strict=True):
            part, _, is_recording = name.partition(" ")
            if is_recording and value:
                with Path(value).open("rb") as file:
                    uploads[part] = keep_recording(file, part, self._service.settings)
            elif not is_recording and (value not in (None, "", []) or name == "text"):
                whole = fields[name].kind == "number" and isinstance(value, int)
                values[name] = float(value) if whole else value
        if self._kind is SpeakParams:
            check_length(values, "text", self._service.settings.limits.text_chars)
        return self._kind.coerce(values)


def _heard(live: Live | None) -> Any:
    """The player of what is heard, once; else no change."""
    return (live and live.take_player()) or gr.skip()


def _control(field: Field, choices: list[str] | None, *, visible: bool = True) -> Any:
    """The control of a field; `choices` are the server's, where it has some for the field.

    An optional field that nobody sets stays None: the engine's default.
    """
    label = f"{field.label} ({field.unit})" if field.unit else field.label
    shown: dict[str, Any] = {"label": label, "info": field.hint, "visible": visible}
    if choices is not None:
        return gr.Dropdown(choices=choices, value=choices[0], **shown)
    if field.kind == "choices":
        return gr.CheckboxGroup(choices=list(field.choices), value=field.default, **shown)
    if field.kind == "choice":
        return gr.Dropdown(choices=list(field.choices), value=field.default, **shown)
    if field.kind == "flag" and field.optional:
        switch: list[Any] = [("the engine's own", None), ("on", True), ("off", False)]
        return gr.Dropdown(choices=switch, value=None, **shown)
    if field.kind == "flag":
        return gr.Checkbox(value=field.default, **shown)
    if field.kind in ("integer", "number") and field.optional:  # Gradio's own shows None as 0
        return gr.Textbox(value="", placeholder="the engine's own", **shown)
    if field.kind in ("integer", "number"):
        whole = 0 if field.kind == "integer" else None
        return gr.Number(value=field.default, precision=whole, **shown)
    if field.kind == "mapping":
        return gr.Textbox(value="", placeholder='{"name": "value"}', **shown)
    lines = _TEXT_LINES if field.name == "text" else 1
    return gr.Textbox(value=field.default or "", lines=lines, **shown)
