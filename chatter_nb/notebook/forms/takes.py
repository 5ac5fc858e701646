"""The takes of a form side by side; and a chunk of a take, to play alone or to make again."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

from chatter_nb.audio.reading import read_audio
from chatter_nb.base.errors import shorten
from chatter_nb.notebook import show
from chatter_nb.notebook.forms.controls import LABEL_WIDTH, row, set_visible
from chatter_nb.pages.doubts import findings_list, kept_take, verdict_in_words
from chatter_nb.pages.gallery.differing import NOTHING, in_words
from chatter_nb.pages.players import encoded
from chatter_nb.pages.run_players import lossless_file
from chatter_nb.params.base import NOT_DECIDING, RunParams
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.record import ChunkRecord, RunRecord
from chatter_nb.runs.speech import Speech

MAX_TAKES = 8  # the page holds their audio; an older take is removed, its folder stays
MAX_VALUE = 60  # characters
MAX_TEXT = 70  # characters of a chunk's text in the dropdown

Guard = Callable[[Callable[[], object]], None]  # calls its argument, and shows the errors


@dataclass(frozen=True)
class Take:
    """The result of a press of the button: the parameters and the speech."""

    number: int
    params: RunParams
    speech: Speech
    player: str  # HTML that holds the audio


class Takes:
    """Cards of takes, the newest first. `use(params)` loads a take's settings into the form."""

    def __init__(self, use: Callable[[RunParams], object], guard: Guard) -> None:
        self._use, self._guard = use, guard
        self._takes: list[Take] = []
        self._count = 0
        self._title = widgets.HTML()
        self._cards = widgets.HBox([], layout=widgets.Layout(flex_flow="row wrap", width="100%"))
        # A single take stays hidden: the form shows it above.
        self.box = widgets.VBox([self._title, self._cards], layout=widgets.Layout(display="none"))

    @property
    def all(self) -> Sequence[Take]:
        """Oldest first."""
        return tuple(self._takes)

    def add(self, params: RunParams, speech: Speech) -> Take:
        """Add a take; it replaces an earlier take with the same settings and the same audio."""
        same = [take for take in self._takes if _same(take, params, speech)]
        self._count += not same
        number = same[0].number if same else self._count
        take = Take(number, params, speech, show.player(speech).data)
        others = [other for other in self._takes if other not in same]
        self._takes = [*others, take][-MAX_TAKES:]
        self._draw()
        return take

    def remove(self, take: Take) -> None:
        self._takes = [other for other in self._takes if other is not take]
        self._draw()

    def _draw(self) -> None:
        differing = _differing([take.params for take in self._takes])
        self._cards.children = [self._card(take, differing) for take in reversed(self._takes)]
        self._title.value = "<b>Takes, side by side</b>: only what differs between them is told"
        set_visible(self.box, len(self._takes) > 1)

    def _card(self, take: Take, differing: Sequence[str]) -> Any:
        use = widgets.Button(description="Use these settings", layout=widgets.Layout(width="auto"))
        remove = widgets.Button(description="Remove", layout=widgets.Layout(width="auto"))
        use.on_click(lambda _: self._guard(lambda: self._use(take.params)))
        remove.on_click(lambda _: self._guard(lambda: self.remove(take)))
        page = widgets.HTML(_caption(take, differing) + take.player)
        layout = widgets.Layout(
            border="1px solid rgba(128, 128, 128, 0.4)",
            padding="0.5em",
            margin="0.3em",
            width="24em",
            max_width="100%",
        )
        buttons = widgets.HBox([use, remove], layout=widgets.Layout(flex_flow="row wrap"))
        return widgets.VBox([page, buttons], layout=layout)


def _same(take: Take, params: RunParams, speech: Speech) -> bool:
    """Return if a take is the same as a new run; the notebook's cell uses another folder name."""
    earlier, now = ([f.sha256 for f in run.record.files] for run in (take.speech, speech))
    return (take.params == params and earlier == now) or take.speech.folder == speech.folder


def _caption(take: Take, differing: Sequence[str]) -> str:
    record = take.speech.record
    pace = f", {record.wall_s:.1f} s of work" if record.wall_s else ""
    title = f"<b>Take {take.number}</b>: {record.audio_s:.1f} s, {record.engine.name}{pace}"
    lines = [f"{name}: {_short(take, name) or NOTHING}" for name in differing]
    return "<br>".join([title, *(html.escape(line) for line in lines)])


def _short(take: Take, name: str) -> str:
    if name == "takes":  # its keys are hashes: show the numbers of chunks instead
        return ", ".join(f"chunk {c.index}: {c.take}" for c in take.speech.record.chunks if c.take)
    return shorten(in_words(getattr(take.params, name)), MAX_VALUE)


def _differing(runs: Sequence[RunParams]) -> list[str]:
    """Return the names of the parameters that differ and that influence the audio."""
    names = [name for run in runs[:1] for name in type(run).model_fields]
    return [
        name
        for name in names
        if name not in NOT_DECIDING and len({repr(getattr(run, name)) for run in runs}) > 1
    ]


class ChunkPicker:
    """A dropdown of chunks, those in doubt first, with buttons to play a chunk and make it again.

    "Make it again" calls `again(shown, params, doubtful_key)` with the parameters of the shown run,
    with those of its next take, and with the chunk's key at take 0 if it is in doubt, else "".
    """

    def __init__(
        self, again: Callable[[SpeakParams, SpeakParams, str], object], guard: Guard
    ) -> None:
        self._again = again
        self._shown: tuple[SpeakParams, Speech] | None = None
        self._choice = widgets.Dropdown(
            options=[],
            description="chunk",
            style={"description_width": LABEL_WIDTH},
            layout=widgets.Layout(flex="1 1 24em", min_width="0"),
        )
        self._hear = widgets.Button(description="Hear it", icon="volume-up")
        self._make = widgets.Button(description="Make it again", icon="refresh")
        self._verdict = widgets.HTML()
        self._sound = widgets.Box([])
        self._hear.on_click(lambda _: guard(self._play))
        self._make.on_click(lambda _: guard(self.ask))
        self._choice.observe(lambda _: self._chosen(), names="value")
        choice = row(self._choice, self._hear, self._make)
        self.box = widgets.VBox(
            [choice, self._verdict, self._sound], layout=widgets.Layout(display="none")
        )

    def show(self, params: SpeakParams, speech: Speech) -> None:
        """Offer the chunks of a run, without those that are only a pause."""
        self._shown = params, speech
        chosen = self._choice.value
        chunks = speech.record.chunks
        places = [place for place, c in enumerate(chunks) if c.end_s > c.start_s]
        places.sort(key=lambda place: not _is_doubtful(chunks[place]))
        self._choice.options = [(_line(chunks[place]), place) for place in places]
        self._choice.value = chosen if chosen in places else next(iter(places), None)
        self._chosen()
        set_visible(self.box, bool(places))

    def disable(self, disabled: bool) -> None:
        self._make.disabled = disabled

    def _chosen(self) -> None:
        """Show what the check says of the chosen chunk, and stop what plays."""
        self._sound.children = ()
        chunk = self._chunk()
        self._verdict.value = _verdict(chunk) if chunk else ""
        set_visible(self._verdict, bool(self._verdict.value))
        is_doubtful = chunk is not None and _is_doubtful(chunk)
        self._make.tooltip = "makes takes until one passes the check" if is_doubtful else ""

    def _chunk(self) -> ChunkRecord | None:
        """The chosen chunk of the shown run; of a chunk that was split, its first part."""
        if self._shown is None or self._choice.value is None:
            return None
        chunks = self._shown[1].record.chunks
        chunk = chunks[self._choice.value]
        return chunk if chunk.split_from is None else chunks[chunk.split_from]

    def _play(self) -> None:
        if self._shown and self._choice.value is not None:
            wav = chunk_wav(self._shown[1], self._choice.value)
            sound = widgets.Audio(value=wav, format="wav", loop=False, autoplay=True)
            self._sound.children = [sound]

    def ask(self) -> None:
        """Ask for another take of the chosen chunk."""
        chunk = self._chunk()
        if self._shown and chunk:
            params, speech = self._shown
            again = with_next_take(params, speech.record, chunk)
            self._again(params, again, first_key(chunk) if _is_doubtful(chunk) else "")


def first_key(chunk: ChunkRecord) -> str:
    """Return the key of a chunk at take 0, which the parameter `takes` names."""
    return chunk.take_of or chunk.key


def with_next_take(params: SpeakParams, record: RunRecord, chunk: ChunkRecord) -> SpeakParams:
    """Return the parameters of a run in which only `chunk` has another take.

    They hold the seed that was drawn: the keys of `takes` are valid only for this seed. Takes that
    the run made before it chose one are left behind.
    """
    last = max([chunk.take, *(take.take for take in chunk.takes)])
    takes = {**params.takes, first_key(chunk): last + 1}
    return params.model_copy(update={"takes": takes, "seed": record.seed})


def chunk_wav(speech: Speech, place: int) -> bytes:
    """Return the chunk at `place` in the record as a WAV file of 16 bits."""
    chunk = speech.record.chunks[place]
    output = next(
        output
        for output in speech.record.outputs
        if output.first_chunk <= place < output.first_chunk + output.chunks
    )
    audio, rate = read_audio(lossless_file(speech, output))
    stretch = audio[round(chunk.start_s * rate) : round(chunk.end_s * rate)]
    return encoded(stretch, rate, "WAV")


def _line(chunk: ChunkRecord) -> str:
    text = " ".join(chunk.text.split())
    take = f" (take {chunk.take})" if chunk.take else ""
    doubt = "in doubt, " if _is_doubtful(chunk) else ""
    return f"{doubt}{chunk.index}{take}: {shorten(text, MAX_TEXT)}"


def _is_doubtful(chunk: ChunkRecord) -> bool:
    return chunk.verdict == "doubtful"


def _verdict(chunk: ChunkRecord) -> str:
    """Return what the check says of a chunk, as HTML; "" if it was not checked."""
    verdict, take = verdict_in_words(chunk), kept_take(chunk)
    if not verdict:
        return ""
    notes = f" ({html.escape('; '.join(take.notes))})" if take and take.notes else ""
    findings = findings_list(take.findings) if take else ""
    return f'<div role="status">check: <b>{verdict}</b>{notes}{findings}</div>'
