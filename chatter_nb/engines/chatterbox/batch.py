"""The chunks that are decoded together, their state on the device, and a step of decoding.

An active chunk has a number, which is its index in every tensor here. Active chunks always have
the first numbers: when a chunk finishes, the last chunk takes its number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from chatterbox.models.s3tokenizer import SPEECH_VOCAB_SIZE
from torch import Tensor

from chatter_nb.base.errors import EngineError
from chatter_nb.engines.chatterbox.attention_check import Alignment
from chatter_nb.engines.chatterbox.backbone import Spy
from chatter_nb.engines.chatterbox.cache import Apart, Place, Shared
from chatter_nb.engines.chatterbox.device import free_bytes, long_chunk_bytes
from chatter_nb.engines.chatterbox.network import Network, Prefix, read_texts
from chatter_nb.engines.chatterbox.sampling import NOT_A_TOKEN, Knobs, Noise, draw, guided
from chatter_nb.engines.chatterbox.tokens import Drawn, Prompt, alignment_note

_SPARE = 1e9  # bytes of a CPU's memory that are left to others


@dataclass(eq=False)
class Row:
    """An active chunk. Its next token goes to `position` in its cache."""

    prompt: Prompt
    generator: torch.Generator
    limit: int
    position: int = 0
    tokens: list[int] = field(default_factory=list)
    note: str = ""
    ended: bool = False

    @property
    def finished(self) -> bool:
        return self.ended or len(self.tokens) >= self.limit

    def decoded(self, *, may_restart: bool) -> Drawn:
        """Its tokens. Unless it `may_restart`, a chunk with a second start token has not ended."""
        valid = [token for token in self.tokens if token < SPEECH_VOCAB_SIZE]
        tokens = torch.tensor(valid, dtype=torch.long, device=self.generator.device)
        ended = self.ended and (may_restart or SPEECH_VOCAB_SIZE not in self.tokens)
        return Drawn(tokens=tokens, ended=ended, note=self.note, generator=self.generator)


class Rows:
    """At most `rows` active chunks. Call `admit`, `step` and `take_finished` as needed.

    `on_note` is called with a message if steps have to be run more slowly than planned.
    """

    def __init__(
        self,
        decoder: Network,
        prefix: Prefix,
        knobs: Knobs,
        rows: int,
        on_note: Callable[[str], object],
    ) -> None:
        device, pace = decoder.device, decoder.pace
        self._decoder, self._prefix, self._knobs, self._most = decoder, prefix, knobs, rows
        self._lanes = 2 if knobs.steps.guided else 1
        self._block, self._pace = pace.block, pace
        self._width = rows  # how many there is room for; `_most` may become less
        self._tokens = torch.zeros(rows, dtype=torch.long, device=device)  # the latest
        self._numbers = torch.zeros_like(self._tokens)  # how many there are
        self._positions = torch.zeros_like(self._tokens)  # where the next goes
        self._seen = torch.zeros(rows, decoder.vocabulary, dtype=torch.bool, device=device)
        self._noise = Noise(self._block, rows, decoder.vocabulary, device)
        self._drawn = torch.zeros(self._block, rows, dtype=torch.long, device=device)
        self._at = torch.zeros(1, dtype=torch.long, device=device)  # in the block
        self._alignment = (
            Alignment(rows, prefix.length, decoder.stop, decoder.vocabulary, device)
            if decoder.multilingual
            else None
        )
        self._runs = pace.runs([*self._row_state(), self._drawn, self._at], on_note)
        like = decoder.backbone
        self._caches: Shared | Apart = (
            Shared(like, rows, self._lanes, pace, self._forget_graphs)
            if pace.shared
            else Apart(like, self._lanes, pace)
        )
        self.active: list[Row] = []

    def serves(self, prefix: Prefix, knobs: Knobs, rows: int) -> bool:
        """Whether `begin_again` can take these: captured graphs hold the prefix' length."""
        same = (self._prefix.length, self._knobs.steps) == (prefix.length, knobs.steps)
        return same and rows <= self._width

    def begin_again(
        self, prefix: Prefix, knobs: Knobs, rows: int, on_note: Callable[[str], object]
    ) -> None:
        """Serve another call with the same steps; captured graphs stay."""
        self.active = []
        self._noise.forget()
        self._prefix, self._most = prefix, rows
        self._runs.on_note = on_note
        self._knobs.become(knobs)

    @property
    def bytes(self) -> int:
        """The size of its caches."""
        return self._caches.bytes

    @property
    def free(self) -> int:
        return self._most - len(self.active)

    def fitting(self, prompts: Sequence[Prompt]) -> Sequence[Prompt]:
        """The first of `prompts`, as many as a CPU's memory has room for; one if none is active.

        Where it has less than for all, that is told, and the rows stay fewer until the call ends.
        """
        if self._pace.shared or not prompts:
            return prompts
        row = long_chunk_bytes(self._decoder.backbone, self._lanes, self._pace.room)
        room = int((free_bytes(self._decoder.device) - _SPARE) // row)
        room = max(room, 0 if self.active else 1)
        if room < len(prompts):
            self._most = len(self.active) + room
            self._runs.on_note(
                f"the memory is too small for more chunks together: went on with {self._most}"
            )
        return prompts[:room]

    def admit(self, prompts: Sequence[Prompt]) -> None:
        """Read the texts of new chunks and draw their first tokens."""
        new = [self._row(prompt) for prompt in prompts]
        first = len(self.active)
        numbers = range(first, first + len(new))
        hidden = self._read(new, numbers)
        rows = slice(first, first + len(new))
        self._seen[rows] = False
        self._seen[rows, self._decoder.start : self._decoder.start + 1] = True
        self._numbers[rows] = 0
        self._positions[rows] = torch.tensor(
            [row.position for row in new], device=self._decoder.device
        )
        for row, number in zip(new, numbers, strict=True):
            self._noise.first(number, row.generator)
            if self._alignment:
                text_length = row.position - self._prefix.length - len(self._decoder.beginning)
                self._alignment.begin(number, text_length)
        self._at.zero_()
        self._draw(hidden, rows, first=True)
        self.active += new
        self._look(1, new)

    def step(self) -> None:
        """Run a block of steps for all active chunks, without waiting for the device in between."""
        count = len(self.active)
        ends = {number: row.position + self._block for number, row in enumerate(self.active)}
        span = self._caches.reach(ends)
        generators = [row.generator for row in self.active]
        self._noise.draw(generators)
        self._at.zero_()
        stepped = self._runs.rows(count, self._width)
        if stepped > count:
            for tensor in self._row_state():
                tensor[count:stepped] = 0  # rows of no chunk
        run = self._runs.get((stepped, span), lambda: self._step(stepped, span))
        for _ in range(self._block):
            run()
        self._noise.draw_ahead(generators)
        before = [len(row.tokens) for row in self.active]
        self._look(self._block, self.active)
        for number, row in enumerate(self.active):
            if row.finished:
                self._noise.take_back(number, row.generator, len(row.tokens) - before[number])

    def take_finished(self) -> list[Row]:
        """Remove the finished chunks from the active ones and return them."""
        finished = [row for row in self.active if row.finished]
        for row in finished:
            number, last = self.active.index(row), len(self.active) - 1
            row.note = self._doubt(number)
            self._move(last, number)
            self.active[number] = self.active[last]
            self.active.pop()
        return finished

    def _row(self, prompt: Prompt) -> Row:
        generator = torch.Generator(self._decoder.device).manual_seed(prompt.seed)
        # Turbo makes one token more than it is asked for.
        return Row(prompt, generator, prompt.max_new_tokens + self._decoder.turbo)

    def _read(self, new: Sequence[Row], numbers: range) -> Tensor:
        """Read the texts of new rows. Returns the hidden states after them, twins side by side."""
        texts = {}
        for row, number in zip(new, numbers, strict=True):
            texts[number] = self._decoder.text_embeds(row.prompt.text_tokens)
            row.position = self._prefix.length + len(texts[number])
            self._caches.begin(number, row.position)
        guided = self._lanes == 2
        return read_texts(self._decoder, self._prefix, self._caches, texts, guided=guided)

    def _forget_graphs(self) -> None:
        self._runs.forget()
        if self._alignment:
            self._alignment.forget()

    def _step(self, count: int, span: int) -> None:
        """A step of the first `count` rows. A GPU captures it, so nothing here may wait."""
        rows = slice(0, count)
        backbone, lanes = self._decoder.backbone, self._lanes
        embeds = self._decoder.speech_embeds(self._tokens[rows], self._numbers[rows])
        place = self._caches.step(self._positions[rows], span, backbone.tile)
        hidden = backbone(embeds.repeat_interleave(lanes, dim=0), place, self._spy(place))
        self._positions[rows] += 1
        self._draw(hidden, rows)

    def _spy(self, place: Place) -> Spy | None:
        alignment, lanes = self._alignment, self._lanes
        if alignment is None:
            return None

        def watch(layer: int, queries: Tensor) -> None:
            alignment.watch(layer, partial(place.weights, layer, queries=queries, lanes=lanes))

        return watch

    def _draw(self, hidden: Tensor, rows: slice, *, first: bool = False) -> None:
        """Draw the next token of each row, from the hidden states of its lanes."""
        logits = guided(self._decoder.logits(hidden), self._knobs)
        if self._alignment:
            logits = self._alignment.checked(logits, rows, first=first)
        noise = self._noise.values.index_select(0, self._at)[0, rows]
        turbo = self._decoder.turbo
        drawn = draw(logits, self._seen[rows], noise, self._knobs, turbo=turbo)
        self._drawn[self._at, rows] = drawn
        tokens = drawn.clamp(min=0)
        if turbo and first:  # its penalty forgets the start token
            self._seen[rows] = False
        self._seen[rows].scatter_(1, tokens[:, None], True)
        self._tokens[rows] = tokens
        self._numbers[rows] += 1
        if self._alignment:
            self._alignment.record_drawn(tokens, rows)
        self._at += 1

    def _look(self, steps: int, rows: Sequence[Row]) -> None:
        """Wait for the drawn tokens of `steps` steps, and give them to their rows."""
        first = len(self.active) - len(rows)
        drawn = self._drawn[:steps, first : first + len(rows)].tolist()
        for number, row in enumerate(rows):
            row.position += steps if row.tokens else 0
            for tokens in drawn:
                if row.finished:
                    break
                if tokens[number] == NOT_A_TOKEN:
                    raise EngineError(
                        "the model's numbers overflowed; under precision: fast, choose exact"
                    )
                row.tokens.append(tokens[number])
                row.ended = tokens[number] == self._decoder.stop

    def _move(self, source: int, target: int) -> None:
        """Give the chunk of number `source` the number `target`."""
        self._caches.move(source, target, self.active[source].position)
        self._noise.move(source, target)
        if source != target:
            for tensor in self._row_state():
                tensor[target] = tensor[source]

    def _row_state(self) -> list[Tensor]:
        tensors = [self._tokens, self._numbers, self._positions, self._seen]
        return tensors + (self._alignment.state() if self._alignment else [])

    def _doubt(self, number: int) -> str:
        alignment = self._alignment
        if alignment and self.active[number].ended and alignment.cut_short(number):
            return alignment_note(alignment.share(number))
        return ""
