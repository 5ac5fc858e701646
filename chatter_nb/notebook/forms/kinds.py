"""The two forms: `SpeakForm` speaks a text, `ConvertForm` converts a recording.

An uploaded voice is checked and moved to the voices folder, where its name finds it.
"""

from __future__ import annotations

import html
import math
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from chatter_nb.audio.containers import way_out
from chatter_nb.audio.curves import duration_s
from chatter_nb.base.disk import part_path, write_error
from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.base.formats import RECORDING_SUFFIXES
from chatter_nb.base.wording import count, minutes
from chatter_nb.engines.registry import entry
from chatter_nb.engines.voices import HEARD_S, MIN_S, Library, library_of, read_checked
from chatter_nb.notebook.forms.form import Form
from chatter_nb.notebook.forms.live import Hearing
from chatter_nb.notebook.forms.takes import ChunkPicker, first_key, with_next_take
from chatter_nb.notebook.forms.uploads import Upload, free_name
from chatter_nb.params.base import RunParams
from chatter_nb.params.runs import AnyParams, ConvertParams, SpeakParams
from chatter_nb.runs.convert import plan_conversion, render_conversion
from chatter_nb.runs.convert_plan import MIN_SOURCE_S
from chatter_nb.runs.lifecycle import Progress
from chatter_nb.runs.speak import render_speech
from chatter_nb.runs.speak_plan import Outline, outline, plan_speech
from chatter_nb.runs.speech import Speech, doubtful_chunks
from chatter_nb.text.files import read_sources

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
        recording = Upload(voice, accept=recordings, folder=folder, on_file=self._on_voice)
        layout = widgets.Layout(flex_flow="row wrap")
        return widgets.HBox([source, recording], layout=layout)

    def _on_voice(self, path: Path) -> str:
        voice, message = receive_voice(path, self._params_for_voices())
        return self._take_voice(voice, message)

    def _take_voice(self, voice: str, message: str) -> str:
        """Choose an uploaded voice; return the message for the person."""
        control = self.sheet.controls[self.voice_field]
        control.offer(voice)
        control.value = voice
        return message

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

    def _top(self) -> Sequence[Any]:
        self.text = widgets.Textarea(
            "", rows=7, placeholder="the text to speak", layout=widgets.Layout(width="auto")
        )
        self._count = widgets.HTML()
        self.text.observe(lambda _: self._recount(), names="value")
        for control in self.sheet.controls.values():
            control.on_change(self._recount)
        uploads = self._uploads(
            "A text from a file", ".txt,.md", self._on_text, "A voice from a recording"
        )
        self.hearing = Hearing()
        return [self.text, self._count, uploads, self.hearing.box]

    def _values(self) -> dict[str, Any]:
        return {"text": self.text.value}

    def load(self, params: RunParams) -> None:
        super().load(params)
        self.text.value = params.text  # type: ignore[attr-defined]

    def _below(self) -> Sequence[Any]:
        self.chunks = ChunkPicker(self.make_again, self.notices.guard)
        result, summary, takes = super()._below()
        return [result, self.chunks.box, summary, takes]

    def make_again(self, shown: SpeakParams, params: SpeakParams, doubtful_key: str = "") -> bool:
        """Make another take of a chunk: a run with `params`, after the run `shown`.

        If the chunk is in doubt, with the key `doubtful_key` at take 0, takes are made until one
        passes. The form loads the parameters, and its YAML then repeats the take. If a person has
        changed the form since, it keeps what is typed.
        """
        if self._worker.busy:
            return False
        if self._holds(shown):
            self.load(params)
        if not doubtful_key:
            return self.start(params)
        return self.start(params, lambda *args: self._until_it_passes(doubtful_key, *args))

    def _until_it_passes(
        self, key: str, params: SpeakParams, cancelled: Callable[[], bool]
    ) -> tuple[SpeakParams, Speech]:
        """Make takes of a chunk in doubt, at most `tries`, until one passes; return the last."""
        first = params
        for tries_left in reversed(range(params.tries)):
            _, speech = self._make(params, cancelled)
            doubtful = [c for c in doubtful_chunks(speech.record) if first_key(c) == key]
            if not doubtful or not tries_left or cancelled():
                break
            params = with_next_take(params, speech.record, doubtful[0])
        if params != first and self._holds(first):
            self.load(params)
        return params, speech

    def _holds(self, shown: SpeakParams) -> bool:
        """Return if the form still has the parameters of the shown run."""
        try:
            current = self.params
        except ParamError:
            return False
        same_seed = {"seed": shown.seed} if current.seed < 0 else {}  # drawn for the take
        return bool(current.model_copy(update=same_seed) == shown)

    def _render(
        self, params: Any, progress: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> Speech:
        plan = plan_speech(params)
        self._show_summary(plan)
        if not self.hearing.begins(plan):
            return render_speech(plan, progress, cancelled)
        return render_speech(plan, progress, cancelled, self.hearing.player.play, parts=True)

    def _keep(self, params: RunParams, speech: Speech, *, play: bool = True) -> None:
        super()._keep(params, speech, play=play and not self.hearing.player.is_heard)

    def _cancel(self) -> None:
        super()._cancel()
        self.hearing.player.stop()

    def _finished(self, params: Any, speech: Speech) -> None:
        self.chunks.show(params, speech)

    def _running(self, running: bool) -> None:
        super()._running(running)
        self.chunks.disable(running)

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
        """Put a short text into the text field; a long text stays a file."""
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

    def _take_voice(self, voice: str, message: str) -> str:
        """Choose the voice only if the engine can clone it."""
        engine = self.sheet.engine
        if engine is None or "prompt_s" in engine.accepts:
            return super()._take_voice(voice, message)
        self.sheet.controls["voice"].offer(voice)
        installed = not entry("chatterbox").missing()
        cure = "choose engine chatterbox" if installed else "make chatterbox installs one that does"
        return f"{message}; this engine clones no voice, so it is not chosen: {cure}"


class ConvertForm(VoiceForm):
    """A form with pickers for a recording and a voice; it converts the recording. See `Form`."""

    cls = ConvertParams
    verb = "Convert"
    unit = "window"
    icon = "exchange"
    voice_field = "target"

    def _top(self) -> Sequence[Any]:
        label, accept = "The recording to convert", ",".join(RECORDING_SUFFIXES)
        return [self._uploads(label, accept, self._on_source, "The voice it takes on")]

    def _render(
        self, params: Any, progress: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> Speech:
        plan = plan_conversion(params)
        self._show_summary(plan)
        return render_conversion(plan, progress, cancelled)

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


def receive_voice(path: Path, params: AnyParams) -> tuple[str, str]:
    """Move an uploaded recording into the voices folder; return the voice's name and a sentence.

    Raises `InputError` for a file that is no recording, silent or too short; the file stays.
    """
    notes = check_upload(path)
    voice = _move(path, library_of(params))
    message = "; ".join([f"voice '{voice.stem}' is ready, {duration_s(voice):.1f} s", *notes])
    return voice.stem, message


def check_upload(path: Path, *, min_s: float = MIN_S, heard_s: float = HEARD_S) -> list[str]:
    """Return notes about a recording. Raises `InputError` for a file that cannot be used."""
    if path.suffix.lower() not in RECORDING_SUFFIXES:
        known = ", ".join(RECORDING_SUFFIXES)
        cure = way_out(path) or f"its name ends in none of {known}"
        raise InputError(f"{path.name} is no recording that can be read: {cure}")
    _, notes = read_checked(path, where=path.name, min_s=min_s, heard_s=heard_s)
    return notes


def _move(path: Path, library: Library) -> Path:
    """Move a file to the voices; a name that is taken, with any suffix, gets a number."""
    target = library.folder / path.name
    part = part_path(target)
    try:
        with library.naming():
            target = free_name(target, taken=library.names())
            shutil.copyfile(path, part)  # the voices may be on another disk, such as Drive
            os.replace(part, target)
    except OSError as error:
        failure = write_error(target, error)
        with suppress(OSError):
            part.unlink()
        raise failure from error
    path.unlink()
    return target
