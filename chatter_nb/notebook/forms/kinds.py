"""The two forms: `SpeakForm` speaks a text, `ConvertForm` converts a recording.

An uploaded voice is checked and moved to the voices folder, where its name finds it.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from chatter_nb.audio.curves import duration_s
from chatter_nb.base.errors import InputError
from chatter_nb.base.formats import RECORDING_SUFFIXES
from chatter_nb.base.wording import count, minutes
from chatter_nb.notebook.forms.form import Form
from chatter_nb.notebook.forms.layout import button_layout, set_visible
from chatter_nb.notebook.forms.live import Hearing
from chatter_nb.notebook.forms.review import ReviewWidget
from chatter_nb.notebook.forms.uploads import Upload, check_upload, receive_voice
from chatter_nb.pages.players import signal_player
from chatter_nb.params.base import RunParams
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.convert import plan_conversion, render_conversion
from chatter_nb.runs.convert_plan import MIN_SOURCE_S
from chatter_nb.runs.lifecycle import Progress
from chatter_nb.runs.listening import kept_part
from chatter_nb.runs.speak import render_speech
from chatter_nb.runs.speak_plan import Outline, outline, plan_speech
from chatter_nb.runs.speech import Speech
from chatter_nb.text.books.reading import BOOK_SUFFIXES
from chatter_nb.text.files import SUFFIXES, read_sources

MAX_TYPED_CHARS = 100_000  # a longer text stays a file: each key press would send all of it


class VoiceForm(Form):
    """A form with file pickers for its source and for its voice."""

    def _uploads(
        self, label: str, accept: str, on_source: Callable[[Path], str], voice: str
    ) -> Any:
        """Return a picker for a source and a picker for a voice, beside each other."""
        folder = self._upload_folder
        recordings = ",".join(RECORDING_SUFFIXES)
        source = Upload(label, accept=accept, folder=folder, on_file=on_source)
        self._recording = Upload(voice, accept=recordings, folder=folder, on_file=self._on_voice)
        self._show_picker()
        self.sheet.on_engine = self._show_picker
        layout = widgets.Layout(flex_flow="row wrap")
        return widgets.HBox([source, self._recording], layout=layout)

    def _on_voice(self, path: Path) -> str:
        """Choose an uploaded voice; return the message for the person."""
        voice, message = receive_voice(path, self._params_for_voices())
        self.sheet.follow_engine()  # the list of voices has it now
        self.sheet.controls[self.voice_field].value = voice
        return message

    def _show_picker(self) -> None:
        """Show the picker for a voice only if the engine speaks like a recording."""
        engine = self.sheet.engine
        set_visible(self._recording, engine is None or engine.min_voice_s is not None)

    def _params_for_voices(self) -> Any:
        """Return parameters with the form's folders, even if its other values are wrong."""
        places = {name: self.sheet.controls[name].value for name in ("voices_dir", "outputs_dir")}
        source = "text" if self.cls is SpeakParams else "source"
        return self.cls.create({source: "-", **places}, where="the form")


class SpeakForm(VoiceForm):
    """A form with a text field; it speaks the text. See `Form`."""

    cls = SpeakParams
    verb = "Speak"
    unit = "chunk"
    icon = "play"
    voice_field = "voice"
    plan = staticmethod(plan_speech)
    _planned: Any = None  # the last plan

    def _top(self) -> Sequence[Any]:
        self.text = widgets.Textarea(
            "", rows=7, placeholder="the text to speak", layout=widgets.Layout(width="auto")
        )
        self._count = widgets.HTML()
        self.text.observe(lambda _: self._recount(), names="value")
        for control in self.sheet.controls.values():
            control.on_change(self._recount)
        uploads = self._uploads(
            "A text from a file", ",".join(SUFFIXES), self._on_text, "A voice from a recording"
        )
        self.hearing = Hearing(self.live)
        self.sheet.folded.append(self.hearing.choice)
        return [self.text, self._count, uploads]

    def _values(self) -> dict[str, Any]:
        return {"text": self.text.value}

    def load(self, params: RunParams) -> None:
        super().load(params)
        self.text.value = params.text  # type: ignore[attr-defined]

    def _below(self) -> Sequence[Any]:
        self.review = ReviewWidget(self._work_on_lines)
        self.review.on_applied(self._applied)
        self._mend = widgets.ToggleButton(
            False, description="Hear and mend line by line", icon="pencil", layout=button_layout()
        )
        set_visible(self._mend, False)
        self._mend.observe(lambda _: self._show_lines(), names="value")
        return [*super()._below(), self._mend, self.review]

    def _work_on_lines(self, work: Callable[[Callable[[], bool]], object]) -> bool:
        """Start what the review asks for, in the form's own thread: one model, one work."""

        def run(cancelled: Callable[[], bool]) -> None:
            self._running(True)
            try:
                work(cancelled)
            finally:
                self._idle()

        return self._worker.start(run)

    def _applied(self, speech: Speech) -> None:
        """Show a run whose files hold the edits of its review."""
        params, _ = self._reviewed
        self._keep(params, speech, play=False)

    def _show_lines(self) -> None:
        """Show the lines of the last run, if a person asks for them: it writes files."""
        if self._mend.value:
            self.review.show(*self._reviewed)
        else:
            set_visible(self.review, False)

    def _perform(self, plan: Any, cancelled: Callable[[], bool] | None) -> Speech:
        self._planned = plan
        if not self.hearing.begins(plan):
            return render_speech(plan, self._progress.update, cancelled)

        def progress(step: Progress) -> None:
            self._progress.update(step)
            self.hearing.joined(step)

        return render_speech(plan, progress, cancelled, self.live.play, parts=True)

    def _keep(self, params: RunParams, speech: Speech, *, play: bool = True) -> None:
        super()._keep(params, speech, play=play and not self.live.is_heard)
        self.live.tell("end")

    def _stopped(self) -> None:
        """Show what is finished of a cancelled run, to be heard."""
        if self._planned is None:
            return
        rate = self._planned.engine.sample_rate
        audio, marks = kept_part(self._planned)
        if len(audio):
            self._show(signal_player(audio, rate, marks, "what is finished of this run"))

    def _cancel(self) -> None:
        super()._cancel()
        self.live.stop()

    def _finished(self, params: Any, speech: Speech) -> None:
        self._reviewed = params, speech
        set_visible(self._mend, True)
        self._show_lines()

    def _running(self, running: bool) -> None:
        super()._running(running)
        self.review.disable(running)

    def _recount(self) -> None:
        """Show how much text there is to speak, or the first problem; called after every key."""
        self.text.continuous_update = len(self.text.value) <= MAX_TYPED_CHARS
        try:
            line = _in_words(outline(self.params))
        except InputError as error:
            line = _first_problem(error)
        self._count.value = (
            '<span role="status" style="color: var(--jp-ui-font-color2, GrayText)">'
            f"{html.escape(line)}</span>"
        )

    def _on_text(self, path: Path) -> str:
        """Put a short text into the text field; a long one, or one with chapters, stays a file."""
        (source,) = read_sources(path)
        note = f" ({source.note})" if source.note else ""
        if len(source.text) > MAX_TYPED_CHARS or path.suffix.lower() in BOOK_SUFFIXES:
            self.text.value = ""
            self.sheet.controls["text_file"].value = str(path)
            return f"{path.name} is kept, and will be spoken from there{note}"
        self.sheet.controls["text_file"].value = ""
        self.text.value = source.text
        path.unlink(missing_ok=True)
        return f"{path.name} is in the field above{note}"


class ConvertForm(VoiceForm):
    """A form with pickers for a recording and a voice; it converts the recording. See `Form`."""

    cls = ConvertParams
    verb = "Convert"
    unit = "window"
    icon = "exchange"
    voice_field = "target"
    plan = staticmethod(plan_conversion)

    def _top(self) -> Sequence[Any]:
        label, accept = "The recording to convert", ",".join(RECORDING_SUFFIXES)
        return [self._uploads(label, accept, self._on_source, "The voice it takes on")]

    def _perform(self, plan: Any, cancelled: Callable[[], bool] | None) -> Speech:
        return render_conversion(plan, self._progress.update, cancelled)

    def _on_source(self, path: Path) -> str:
        notes = check_upload(path, min_s=MIN_SOURCE_S, heard_s=math.inf)
        self.sheet.controls["source"].value = str(path)
        return "; ".join([f"{path.name} is ready, {duration_s(path):.1f} s", *notes])


def _first_problem(error: InputError) -> str:
    """Return the first problem of an error; the Speak button shows all of them."""
    heading, *problems = str(error).splitlines()
    return problems[0].strip() if problems else heading


def _in_words(text: Outline) -> str:
    about = "" if text.exact else "about "
    return (
        f"{text.chars:,} characters, {about}{count(text.chunks, 'chunk')}, "
        f"{minutes(text.audio_s)} of audio"
    )
