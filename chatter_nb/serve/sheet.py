"""A tab of the web page: the controls of a kind of run, its buttons, and what they do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from itertools import groupby
from typing import Any

import gradio as gr

from chatter_nb.base.errors import ChatterError
from chatter_nb.engines.registry import entry
from chatter_nb.params.fields import Field, fields_of
from chatter_nb.params.runs import KNOBS, SpeakParams
from chatter_nb.runs.speech import load_speech
from chatter_nb.serve.bodies import DOCUMENT, LEXICON, RECORDINGS, UPLOADED, Kind, open_names
from chatter_nb.serve.by_hand import CHAPTERS, ByHand, open_document, size_of
from chatter_nb.serve.controls import Choices, control, first, holds, shown
from chatter_nb.serve.live import Lives
from chatter_nb.serve.outputs import find_run
from chatter_nb.serve.page_html import history_html, sentence, title_of
from chatter_nb.serve.service import Service
from chatter_nb.text.files import SUFFIXES

SAMPLE = (
    "The North Wind and the Sun disputed which of them was the stronger, when a traveler came "
    "along, wrapped in a warm cloak. They agreed that whoever first made him take it off should be "
    "considered the stronger of the two."
)
_FIRST = ("text", CHAPTERS, "voice", "speed", "source", "target")  # in sight; all others are folded
_HEAR = [("if the engine is faster than real time", "auto"), ("always", "on"), ("never", "off")]
# Controls that depend on the engine.
_FOLLOWERS = ("voice", "narrator", "voice recording", "language", *KNOBS)
# A control with a blank in its name is an upload.
_DOCUMENT, _LEXICON = f"{DOCUMENT} upload", f"{LEXICON} upload"
_WIDE = ("text", "replacements", "takes", "formats", "read_along", "cast", "moods")
_QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


class Sheet:
    """The controls of a kind of run, its buttons, and what they do."""

    def __init__(self, service: Service, lives: Lives, kind: Kind, verb: str) -> None:
        self._service, self._lives, self._kind, self._verb = service, lives, kind, verb
        self._inputs: dict[str, Any] = {}
        self._default_engine = service.catalog.choice(kind.kind).name

    # -- what stands where

    def draw(self, page: gr.Blocks) -> None:
        """Draw the first fields with their buttons, the results, the other fields, earlier runs."""
        names = open_names(self._kind)
        with gr.Row(elem_classes=["room"]):
            with gr.Column(elem_classes=["main"]):
                size, opener = self._draw_text() if self._kind is SpeakParams else (None, None)
                self._add([name for name in names if name in _FIRST and name not in self._inputs])
                with gr.Row(elem_classes=["go"]):
                    go = gr.Button(self._verb, variant="primary", scale=3)
                    stop = gr.Button("Cancel", scale=1)
            with gr.Column(elem_classes=["result"]):
                status, live, take = (_html(name) for name in ("now", "live", "newest"))
            with gr.Column(elem_classes=["more"]):
                hear = self._draw_others([name for name in names if name not in _FIRST])
        history = _html("history")
        self._connect_run(go, stop, hear, [status, live, take, history])
        self._connect_settings(page, history, status)
        if size:
            self._connect_text(size, opener, status)

    def _draw_text(self) -> tuple[Any, Any]:
        """The text, or a document and its chapters; under it how long it is, and a button."""
        self._add(["text"])
        self._inputs[_DOCUMENT] = gr.File(label="document", interactive=True, visible=False)
        self._inputs[CHAPTERS] = gr.Dropdown([], multiselect=True, label=CHAPTERS, visible=False)
        with gr.Row(elem_classes=["under"]):
            size = _html("size", size_of(self._default_engine, SAMPLE))
            types = list(SUFFIXES)
            return size, gr.UploadButton("Open a document", file_types=types, size="sm")

    def _draw_others(self, names: list[str]) -> Any:
        """Draw fields folded by their purpose; returns the choice of hearing a run early."""
        fields = fields_of(self._kind)
        groups: dict[str, list[str]] = {}
        for name in names:
            groups.setdefault(fields[name].purpose, []).append(name)
        for purpose, members in groups.items():
            with gr.Accordion(purpose.capitalize(), open=False):
                self._add(members)
                if LEXICON in fields and purpose == fields[LEXICON].purpose:
                    types = list(UPLOADED[LEXICON][1])
                    label = f"lexicon ({' '.join(types)})"
                    self._inputs[_LEXICON] = gr.File(label=label, file_types=types, height=140)
        is_speech = self._kind is SpeakParams
        with gr.Accordion("While it is made", open=False, visible=is_speech):
            value = "auto" if is_speech else "off"
            return gr.Dropdown(choices=_HEAR, value=value, label="hear it while it is made")

    def _add(self, names: list[str]) -> None:
        """Draw fields: short fields share a row, and the uploads of recordings the next row."""
        fields = fields_of(self._kind)
        for _, row in groupby(names, lambda name: name if name in _WIDE else ""):
            row_names = list(row)
            with gr.Row():
                for name in row_names:
                    self._draw(fields[name])
            self._draw_uploads([name for name in row_names if name in RECORDINGS[self._kind]])

    def _draw(self, field: Field) -> None:
        is_visible = self._is_visible(field.name, self._default_engine)
        choices = self._choices(field.name, self._default_engine)
        value = {"text": SAMPLE, "source": "sample-reading", "target": "sample-target"}
        self._inputs[field.name] = control(
            field, choices, value.get(field.name), visible=is_visible
        )
        if field.name == "voice":
            self._heard = gr.Button(
                "▶ Hear the voice", size="sm", scale=0, elem_classes="hear-voice"
            )

    def _draw_uploads(self, names: list[str]) -> None:
        """Draw places for recordings of a person's own, folded where samples are ready."""
        is_folded = len(names) > 1
        fold = gr.Accordion("Your own recordings", open=False) if is_folded else nullcontext()
        with fold, gr.Row() if names else nullcontext():
            for name in names:
                upload = f"{name} recording"
                self._inputs[upload] = gr.Audio(
                    sources=["upload", "microphone"],
                    editable=False,
                    label=f"or upload a {name}",
                    type="filepath",
                    visible=self._is_visible(upload, self._default_engine),
                )

    def _is_visible(self, name: str, engine: str) -> bool:
        """Whether a control is shown: an engine's knobs, and an upload of a voice to clone."""
        if name in KNOBS:
            return name in entry(engine, self._kind.kind).accepts
        if name == "language":
            return len(entry(engine, self._kind.kind).languages) > 1
        if name in (_DOCUMENT, CHAPTERS):  # once one is opened
            return False
        return name != "voice recording" or self._service.catalog.clones(engine)

    def _choices(self, name: str, engine: str) -> Choices | None:
        """What a field offers on this server, with names in words; None where it has no list."""
        catalog = self._service.catalog
        if name == "engine":
            return [(f"auto: {self._default_engine}", "auto"), *catalog.engines(self._kind.kind)]
        if name == "voice":
            return catalog.voice_choices(engine)
        if name == "narrator":
            return catalog.speaker_choices(engine)
        if name == "language":
            return [("the engine's own", ""), *entry(engine).languages]
        if name not in RECORDINGS[self._kind]:
            return None
        return [*catalog.sample_choices(), ("none", ""), *catalog.recordings()]

    # -- what happens

    def _connect_run(self, go: Any, stop: Any, hear: Any, results: list[Any]) -> None:
        runs = ByHand(self._service, self._lives, self._kind, list(self._inputs))
        inputs = [hear, *self._inputs.values()]
        go.click(runs.run, inputs, results, concurrency_limit=None, **_QUIET)
        stop.click(runs.cancel, None, None, queue=False, **_QUIET)
        followers = [block for name, block in self._inputs.items() if name in _FOLLOWERS]
        engine = self._inputs["engine"]
        engine.input(self._follow, engine, followers, queue=False, **_QUIET)

    def _connect_text(self, size: Any, opener: Any, status: Any) -> None:
        names = ("text", _DOCUMENT, CHAPTERS, "speed", "language", "engine")
        measured = [self._inputs[name] for name in names]
        shown = [*measured[:3], status]
        opener.upload(open_document, opener, shown, queue=False, **_QUIET)
        measured[1].clear(open_document, measured[1], shown, queue=False, **_QUIET)
        changes = [block.change for block in measured]
        ask = partial(size_of, self._default_engine)
        gr.on(changes, ask, measured, size, queue=False, trigger_mode="always_last", **_QUIET)
        chosen = [self._inputs[name] for name in ("engine", "voice")]
        self._heard.click(None, chosen, status, js="(...v) => hearVoice(...v)", **_QUIET)

    def _connect_settings(self, page: gr.Blocks, history: Any, status: Any) -> None:
        """Keep the settings in the browser; bring them back, or those of a run that is chosen."""
        saved = gr.BrowserState("", storage_key=f"chatter_nb {self._kind.kind}", secret="settings")
        kept = {name: block for name, block in self._inputs.items() if " " not in name}
        names = json.dumps(list(kept))
        js = f"(...v) => JSON.stringify(Object.fromEntries({names}.map((n, i) => [n, v[i]])))"
        changes = [block.change for block in kept.values()]
        gr.on(changes, None, list(kept.values()), saved, js=js, **_QUIET)
        shown = [*self._inputs.values(), history]
        # Only runs go through Gradio's queue: its stream ends with the last call that it knows of,
        # and could miss the beginning of a run that is asked for at that moment.
        page.load(self._restore, saved, shown, queue=False, **_QUIET)
        use = gr.Button(visible="hidden", elem_classes=["use"])
        filled = [*self._inputs.values(), status]
        use.click(self._use, saved, filled, js="() => chosenRun", queue=False, **_QUIET).then(
            None, None, None, js="() => showForm()", **_QUIET
        )

    def _restore(self, saved: Any) -> list[Any]:
        """Updates of the controls from an earlier visit, and the runs before."""
        try:
            values = json.loads(saved or "{}")
            values = values if isinstance(values, dict) else {}
        except (TypeError, ValueError):
            values = {}
        history = history_html(self._service.settings.outputs, self._kind.kind)
        return [*self._filled(values), history]

    def _use(self, run: str) -> list[Any]:
        """Updates of the controls from an earlier run, and a sentence about it as HTML."""
        try:
            record = load_speech(find_run(self._service.settings.outputs, str(run)).path).record
        except ChatterError as error:
            return [*(gr.skip() for _ in self._inputs), sentence(str(error), is_error=True)]
        fields, catalog, lost = fields_of(self._kind), self._service.catalog, ""
        values = {
            name: shown(fields[name], record.params.get(name, fields[name].default))
            for name in self._inputs
            if name in fields
        }
        for name in RECORDINGS[self._kind]:
            values[name] = catalog.name_of(values[name])
            if "/" in values[name]:
                values[name], lost = "", f" Its {name} was an upload: choose the recording again."
        for name, noun in ((DOCUMENT, "document"), (LEXICON, "lexicon")):
            if record.params.get(name):
                lost += f" Its {noun} was an upload: choose it again."
        updates = self._filled(values, is_whole=True)
        return [*updates, sentence(f"The form has the settings of “{title_of(record)}”.{lost}")]

    def _filled(self, values: Mapping[str, Any], *, is_whole: bool = False) -> list[Any]:
        """Updates of the controls; the others get their defaults if a `whole` run is shown."""
        engine = values.get("engine")
        engines = self._service.catalog.engines(self._kind.kind)
        engine = engine if engine in engines else self._default_engine
        updates = []
        for name, block in self._inputs.items():
            update = (self._default if is_whole else self._update)(name, engine)
            if name in values and holds(block, values[name], update.get("choices")):
                update["value"] = values[name]
            updates.append(gr.update(**update))
        return updates

    def _follow(self, engine: str) -> list[Any]:
        """Updates of the controls that depend on the engine; each gets its default value."""
        engine = self._default_engine if engine == "auto" else engine
        followers = filter(_FOLLOWERS.__contains__, self._inputs)
        return [gr.update(**self._default(name, engine)) for name in followers]

    def _default(self, name: str, engine: str) -> dict[str, Any]:
        """What an engine changes of a control, and its default value."""
        update = self._update(name, engine)
        choices = update.get("choices")
        return {**update, "value": first(choices) if choices else self._inputs[name].value}

    def _update(self, name: str, engine: str) -> dict[str, Any]:
        """What an engine changes of a control: whether it is shown, and what it offers."""
        choices = self._choices(name, engine)
        update = {"visible": self._is_visible(name, engine)}
        return update if choices is None else update | {"choices": choices}


def _html(name: str, value: str = "") -> gr.HTML:
    """A place for HTML with our own look: Gradio's gives every button in it a frame."""
    return gr.HTML(value, elem_classes=[name], apply_default_css=False)
