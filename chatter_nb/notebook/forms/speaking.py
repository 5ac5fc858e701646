"""The form that speaks: a text and how much of it there is, its voice, its chunks made again."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.base.wording import count, minutes
from chatter_nb.engines.registry import entry
from chatter_nb.notebook.forms.chunks import ChunkPicker
from chatter_nb.notebook.forms.form import Form
from chatter_nb.notebook.forms.recordings import receive_voice, recordings_accepted, voices_of
from chatter_nb.params.base import RunParams
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.lifecycle import Progress
from chatter_nb.runs.speak import render_speech
from chatter_nb.runs.speak_plan import Outline, outline, plan_speech
from chatter_nb.runs.speech import Speech
from chatter_nb.text.files import read_sources

MAX_TYPED_CHARS = 100_000  # a longer text stays a file: each key would send all of it anew


class SpeakForm(Form):
    """Type a text, press Speak, listen; see `Form`."""

    cls = SpeakParams
    verb = "Speak"
    unit = "chunk"
    icon = "play"

    def _top(self) -> Sequence[Any]:
        self.text = widgets.Textarea(
            "", rows=7, placeholder="the text to speak", layout=widgets.Layout(width="auto")
        )
        self._count = widgets.HTML()
        self.text.observe(lambda _: self._recount(), names="value")
        for control in self.sheet.controls.values():
            control.on_change(self._recount)
        text = self._upload("A text from a file", ".txt,.md", self._text_came)
        voice = self._upload("A voice from a recording", recordings_accepted(), self._voice_came)
        uploads = widgets.HBox([text, voice], layout=widgets.Layout(flex_flow="row wrap"))
        return [self.text, self._count, uploads]

    def _suggestions(self, params: RunParams) -> Mapping[str, Sequence[Any]]:
        return {"voice": voices_of(params)}

    def _values(self) -> dict[str, Any]:
        return {"text": self.text.value}

    def load(self, params: RunParams) -> None:
        super().load(params)
        self.text.value = params.text  # type: ignore[attr-defined]

    def _below(self) -> Sequence[Any]:
        self.chunks = ChunkPicker(self.make_again, self._guard)
        result, told, takes = super()._below()
        return [result, self.chunks.box, told, takes]

    def make_again(self, shown: SpeakParams, params: SpeakParams) -> bool:
        """Another take of one chunk. The form follows, so that its YAML makes the same, unless it
        holds something else by now: what is typed is not thrown away."""
        if self._worker.busy:
            return False
        if self._holds(shown):
            self.load(params)
        return self.start(params)

    def _holds(self, shown: SpeakParams) -> bool:
        try:
            held = self.params
        except ParamError:
            return False
        same_seed = {"seed": shown.seed} if held.seed < 0 else {}  # it was drawn for this take
        return bool(held.model_copy(update=same_seed) == shown)

    def _render(
        self, params: Any, progress: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> Speech:
        plan = plan_speech(params)
        self._plan_is(plan)
        return render_speech(plan, progress, cancelled)

    def _finished(self, params: Any, speech: Speech) -> None:
        self.chunks.show(params, speech)

    def _running(self, running: bool) -> None:
        super()._running(running)
        self.chunks.disable(running)

    def _recount(self) -> None:
        """After every key: how much there is to speak, or why it cannot be spoken."""
        self.text.continuous_update = len(self.text.value) <= MAX_TYPED_CHARS
        try:
            told = _told(outline(self.params))
        except InputError as error:
            told = _first(error)
        self._count.value = (
            '<span role="status" style="color: var(--jp-ui-font-color2, GrayText)">'
            f"{html.escape(told)}</span>"
        )

    def _text_came(self, path: Path) -> str:
        """A short text goes into the field, where it can be changed; a long one stays a file."""
        (source,) = read_sources(path)
        note = f" ({source.note})" if source.note else ""
        if len(source.text) > MAX_TYPED_CHARS:
            self.text.value = ""
            self.sheet.controls["text_file"].value = str(path)
            return f"{path.name} is kept, and will be spoken from there{note}"
        self.sheet.controls["text_file"].value = ""
        self.text.value = source.text
        path.unlink(missing_ok=True)
        return f"{path.name} is in the field above{note}"

    def _voice_came(self, path: Path) -> str:
        voice, told = receive_voice(path, self.params_for_voices())
        control, taken = self.sheet.controls["voice"], self.sheet.taken
        if taken is None or "prompt_s" in taken.takes:
            control.suggest(voice)
            return told
        control.offer(voice)
        here = not entry("chatterbox").missing()
        cure = "choose engine chatterbox" if here else "make chatterbox installs one that does"
        return f"{told}; this engine clones no voice, so it is not chosen: {cure}"

    def params_for_voices(self) -> SpeakParams:
        """Where voices are, whatever else the form holds."""
        places = {name: self.sheet.controls[name].value for name in ("voices_dir", "outputs_dir")}
        return SpeakParams.create({"text": "-", **places}, where="the form")


def _first(error: InputError) -> str:
    """The first of what is wrong: Speak tells all of it."""
    heading, *problems = str(error).splitlines()
    return problems[0].strip() if problems else heading


def _told(found: Outline) -> str:
    about = "" if found.exact else "about "
    return (
        f"{found.chars:,} characters, {about}{count(found.chunks, 'chunk')}, "
        f"{minutes(found.audio_s)} of audio"
    )
