"""One chunk of a finished run: heard alone, and made again where it sounds wrong."""

from __future__ import annotations

import io
from collections.abc import Callable

import ipywidgets as widgets
import soundfile

from chatter_nb.audio.reading import read_audio
from chatter_nb.notebook.forms.controls import LABEL_WIDTH
from chatter_nb.notebook.plots import lossless_file
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.record import ChunkRecord, RunRecord
from chatter_nb.runs.speech import Speech

MAX_TEXT = 70  # characters, of a line to choose from


class ChunkPicker:
    """Choose a chunk, hear it, have it made again.

    `again(shown, params)` is called with a run's parameters, and with those of its next take.
    """

    def __init__(
        self,
        again: Callable[[SpeakParams, SpeakParams], object],
        guard: Callable[[Callable[[], object]], None],
    ) -> None:
        self._again = again
        self._speech: Speech | None = None
        self._params: SpeakParams | None = None
        self._choice = widgets.Dropdown(
            options=[],
            description="chunk",
            style={"description_width": LABEL_WIDTH},
            layout=widgets.Layout(flex="1 1 24em", min_width="0"),
        )
        self._hear = widgets.Button(description="Hear it", icon="volume-up")
        self._make = widgets.Button(description="Make it again", icon="refresh")
        self._sound = widgets.Box([])
        self._hear.on_click(lambda _: guard(self._play))
        self._make.on_click(lambda _: guard(self.ask))
        self._choice.observe(lambda _: self._silence(), names="value")
        row = widgets.HBox(
            [self._choice, self._hear, self._make],
            layout=widgets.Layout(flex_flow="row wrap", align_items="center"),
        )
        self.box = widgets.VBox([row, self._sound], layout=widgets.Layout(display="none"))

    def show(self, params: SpeakParams, speech: Speech) -> None:
        """Offer the chunks of a run that are made of sound."""
        self._params, self._speech = params, speech
        chosen = self._choice.value
        every = enumerate(speech.record.chunks)
        options = [(_line(one), place) for place, one in every if one.end_s > one.start_s]
        self._choice.options = options
        places = [place for _, place in options]
        self._choice.value = chosen if chosen in places else next(iter(places), None)
        self._silence()
        self.box.layout.display = None if options else "none"

    def disable(self, disabled: bool) -> None:
        self._make.disabled = disabled

    def _silence(self) -> None:
        self._sound.children = ()

    def _play(self) -> None:
        if self._speech is None or self._choice.value is None:
            return
        wav = chunk_wav(self._speech, self._choice.value)
        self._sound.children = [widgets.Audio(value=wav, format="wav", loop=False, autoplay=True)]

    def ask(self) -> None:
        """Have the chosen chunk made again."""
        if self._speech is not None and self._params is not None and self._choice.value is not None:
            record = self._speech.record
            chunk = record.chunks[self._choice.value]
            self._again(self._params, with_next_take(self._params, record, chunk))


def with_next_take(params: SpeakParams, record: RunRecord, chunk: ChunkRecord) -> SpeakParams:
    """The parameters that make one chunk of a finished run again, and keep all others.

    A drawn seed is pinned to what was drawn: the keys of `takes` hold for that seed alone.
    """
    takes = {**params.takes, chunk.take_of or chunk.key: chunk.take + 1}
    return params.model_copy(update={"takes": takes, "seed": record.seed})


def chunk_wav(speech: Speech, place: int) -> bytes:
    """The chunk at a place of the record, out of its output's file, as a 16-bit wav."""
    chunk = speech.record.chunks[place]
    output = next(
        one
        for one in speech.record.outputs
        if one.first_chunk <= place < one.first_chunk + one.chunks
    )
    audio, rate = read_audio(lossless_file(speech, output))
    stretch = audio[round(chunk.start_s * rate) : round(chunk.end_s * rate)]
    into = io.BytesIO()
    soundfile.write(into, stretch, rate, format="WAV", subtype="PCM_16")
    return into.getvalue()


def _line(chunk: ChunkRecord) -> str:
    text = " ".join(chunk.text.split())
    short = text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
    take = f" (take {chunk.take})" if chunk.take else ""
    return f"{chunk.index}{take}: {short}"
