"""▶ beside the voice of a form: a sentence in the chosen voice, which is made once and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from chatter_nb.base.formats import mime_of
from chatter_nb.engines.models import pick_engine, relinquish
from chatter_nb.engines.offered import DEFAULT_VOICE, own_voices
from chatter_nb.engines.registry import entry
from chatter_nb.notebook.forms.notices import ProgressLine
from chatter_nb.pages.players import audio_player, data_url, playing
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import generate_tts, sample_of

HEAR, MAKES = "▶ Hear the voice", "Making it …"
# What decides how a voice sounds, and where it is kept.
_FIELDS = ("voice", "engine", "device", "checkpoint", "precision", "voices_dir", "outputs_dir")


class VoiceSample:
    """The button and the player beside the voice of a `SpeakForm`."""

    def __init__(self, form: Any, progress: ProgressLine) -> None:
        self._form, self._progress = form, progress
        self.button = widgets.Button(description=HEAR, layout=widgets.Layout(width="auto"))
        self.button.on_click(lambda _: form.notices.guard(self._clicked))
        self.player = widgets.HTML(layout=widgets.Layout(width="100%"))
        box = form.sheet.controls["voice"].box
        box.children = (box.children[0], self.button, *box.children[1:], self.player)

    def _clicked(self) -> None:
        values = {name: self._form.sheet.controls[name].value for name in _FIELDS}
        values |= {"engine": pick_engine(values["engine"]).name, "text": "-"}
        params = SpeakParams.create(values, where="the form")
        if self._form.work_beside(lambda cancelled: self._hear(params, cancelled)):
            self.button.description = MAKES

    def _hear(self, params: SpeakParams, cancelled: Callable[[], bool]) -> None:
        self._form.notices.guard(lambda: self._play(params, cancelled))
        self.button.description = HEAR

    def _play(self, params: SpeakParams, cancelled: Callable[[], bool]) -> None:
        """Make the sample, unless it is kept, and play it; show the doubts about the voice."""
        relinquish()  # as before a run
        sample, speech = sample_of(params)
        name = params.voice or DEFAULT_VOICE
        if speech is None:
            own = own_voices(entry(params.engine), checkpoint=params.checkpoint)
            needs = next((f" ({v.problem})" for v in own if v.name == name and v.problem), "")
            self._progress.begin(f"a sentence in the voice {name} is made once …{needs}")
            speech = generate_tts(sample, cancelled=cancelled)
        content, mime = speech.files[0].read_bytes(), mime_of(speech.files[0])
        self.player.value = ""  # the same sample is heard again
        self.player.value = playing(audio_player([data_url(content, mime)], mime, f"voice {name}"))
        if speech.record.warnings:
            self._form.notices.note("\n".join(speech.record.warnings))
