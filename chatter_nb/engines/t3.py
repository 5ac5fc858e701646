"""Text tokens to speech tokens, many chunks at once: T3 made ready, and the queue of its rows.

A finished chunk's row takes the next chunk, so that memory follows `rows` and not the queue. Each
chunk draws from a generator of its own and attends to its own row alone: in float32 it gets the
tokens that it would get alone, which are upstream's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from chatterbox.models.t3.modules.cond_enc import T3Cond
from torch import Tensor

from chatter_nb.engines.backbone import Cache, Place, backbone
from chatter_nb.engines.device import free_bytes, memory_told, one_at_a_time, quiet_upstream
from chatter_nb.engines.graphs import pace_of
from chatter_nb.engines.packing import Weight
from chatter_nb.engines.rows import Row, Rows
from chatter_nb.engines.sampling import Knobs
from chatter_nb.engines.tokens import Drawn, Prompt, Sampling
from chatter_nb.errors import OutOfMemory

CURE = "choose a smaller chunk_chars, or device: cpu"
_LONG_CHUNK = 800  # positions: the voice, 300 of text, 18 s of speech
_SMALL_PARTS = (
    *("cond_enc", "text_emb", "text_pos_emb"),  # Turbo has no positions of its own
    *("speech_emb", "speech_pos_emb", "speech_head"),
)


class TokenDecoder:
    """An upstream T3 on `device`, its layers in `dtype`.

    The layers of the object that is given stay where they are, and can be dropped; its embeddings
    move to the device.
    """

    def __init__(
        self, t3: Any, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.device = torch.device(device)
        self.turbo, self.multilingual = t3.is_gpt, bool(t3.hp.is_multilingual)
        self.start, self.stop = t3.hp.start_speech_token, t3.hp.stop_speech_token
        self.vocabulary = t3.speech_head.out_features
        self.longest_text, self.voice_tokens = t3.hp.max_text_tokens, t3.hp.speech_cond_prompt_len
        self.backbone = backbone(t3, self.device, dtype)
        self._t3 = t3
        for name in _SMALL_PARTS:
            if getattr(t3, name) is not None:
                getattr(t3, name).to(self.device)
        self._head = Weight(t3.speech_head.weight.detach(), t3.speech_head.bias)
        self.pace = pace_of(self.device)
        with torch.inference_mode():
            self.beginning = self._beginning()
        self._kept: tuple[Hashable, Prefix] | None = None
        self._idle: Rows | None = None

    def decode(
        self,
        prompts: Iterable[Prompt],
        cond: T3Cond,
        sampling: Sampling,
        *,
        rows: int,
        voice: Hashable = None,
        told: Callable[[str], object] = lambda _: None,
    ) -> Iterator[tuple[int, Drawn]]:
        """(index, tokens) of the prompts as they finish, at most `rows` of them in hand at a time.

        `voice` names what `cond` says, so that it is read once in a row of calls. Where memory runs
        out the rows are halved, the unfinished chunks begin again, and `told` hears of it;
        `OutOfMemory` is raised if one row alone does not fit.
        """
        queue = _Queue(prompts)
        batch: Rows | None = None
        while True:
            try:
                with one_at_a_time(), memory_told(_together(rows), CURE):
                    batch = batch or self._batch(self._prefix(cond, voice), sampling, rows, told)
                    finished = _advance(batch, queue)
            except OutOfMemory as error:
                if rows == 1:
                    raise
                queue.put_back([row.prompt for row in batch.active] if batch else [])
                batch, rows = None, rows // 2
                told(f"{error}; went on with {_together(rows)}")
                continue
            if not finished:
                if self.pace.keeps:
                    self._idle = batch
                return
            for row in finished:
                yield row.prompt.index, row.decoded(twice_is_bad=not self.turbo)

    def _batch(
        self, prefix: Prefix, sampling: Sampling, rows: int, told: Callable[[str], object]
    ) -> Rows:
        """The last call's, if it fits: its graphs need not be captured again."""
        knobs = Knobs(sampling, self.device)
        idle, self._idle = self._idle, None  # taken: a call in between makes its own
        if idle and idle.serves(prefix, knobs, rows):
            idle.begin_again(knobs, told)
            return idle
        del idle
        return Rows(self, prefix, knobs, rows, told)

    def rows_that_fit(self) -> int:
        """How many chunks to decode together: as half of the free memory holds, if they are long.

        On a GPU a step takes hardly longer for 16 than for one; on a CPU 8 already keep it busy.
        """
        own, lanes = self.backbone, 1 if self.turbo else 2
        a_position = 2 * own.depth * own.heads * own.head_width * own.dtype.itemsize
        free = free_bytes(self.device) + (self._idle.bytes if self._idle else 0)
        fitting = free // 2 // (lanes * _LONG_CHUNK * a_position)
        return max(1, min(16 if self.device.type == "cuda" else 8, fitting))

    def logits(self, hidden: Tensor) -> Tensor:
        """Of hidden states (rows, width), float32: (rows, vocabulary)."""
        return self._head(hidden)

    def text_embeds(self, text_tokens: Tensor) -> Tensor:
        """(1, n, width), start, stop and speech's beginning with them.

        Speech begins twice but for Turbo, at position 0 both times: the weights expect it.
        """
        if self.turbo:
            text = self._t3.text_emb(text_tokens.to(self.device))
            return torch.cat([text, self.beginning], dim=1)
        return torch.cat([self._text(text_tokens), self.beginning], dim=1)

    def _text(self, text_tokens: Tensor) -> Tensor:
        hp = self._t3.hp
        padded = F.pad(text_tokens.long(), (1, 0), value=hp.start_text_token)
        padded = F.pad(padded, (0, 1), value=hp.stop_text_token).to(self.device)
        return self._t3.text_emb(padded) + self._t3.text_pos_emb(padded)

    def _beginning(self) -> Tensor:
        """The embeddings that speech begins with, shape (1, 1 or 2, width)."""
        start = torch.tensor([[self.start]], device=self.device)
        if self.turbo:
            return self._t3.speech_emb(start)
        begin = self._t3.speech_emb(start) + self._t3.speech_pos_emb.get_fixed_embedding(0)
        return torch.cat([begin, begin], dim=1)

    def speech_embeds(self, tokens: Tensor, numbers: Tensor) -> Tensor:
        """Of tokens (rows,) that are the `numbers`th of their chunks, from 1: (rows, 1, width)."""
        embeds = self._t3.speech_emb(tokens)
        if not self.turbo:
            table = self._t3.speech_pos_emb.emb.weight
            embeds = embeds + table[numbers.clamp(max=len(table) - 1)]
        return embeds[:, None]

    def _prefix(self, cond: T3Cond, voice: Hashable) -> Prefix:
        if self._kept is None or voice is None or self._kept[0] != voice:
            with quiet_upstream(), torch.inference_mode():
                embeds = self._t3.prepare_conditioning(cond)
                self._kept = voice, Prefix(self, embeds)
        return self._kept[1]

    def position_embeds(self, start: int, end: int) -> Tensor:
        """What is left of text [start, end) without its words: guidance's other half."""
        return self._t3.text_pos_emb.emb.weight[start:end][None]


class Prefix:
    """What all chunks of a voice begin with, read once: keys and values in a cache of one row.

    After the voice's own `length` positions come those of a text without words, as far as any chunk
    has needed them: guidance compares every chunk with them.
    """

    def __init__(self, decoder: TokenDecoder, embeds: Tensor) -> None:
        self._decoder = decoder
        self.length = embeds.shape[1]
        self._wordless = 0
        self.cache = Cache(decoder.backbone, 1, self.length)
        self._read(embeds, 0)

    def reach(self, text_length: int) -> None:
        """Have a wordless text of at least so many positions."""
        if text_length > self._wordless:
            self.cache.grow(self.length + text_length)
            embeds = self._decoder.position_embeds(self._wordless, text_length)
            self._read(embeds, self.length + self._wordless)
            self._wordless = text_length

    def _read(self, embeds: Tensor, start: int) -> None:
        end = start + embeds.shape[1]
        positions = torch.arange(start, end, device=embeds.device)[None]
        self._decoder.backbone(embeds, Place(self.cache, slice(0, 1), positions, end))


class _Queue:
    """Prompts in their order, taken from their source as they are needed."""

    def __init__(self, prompts: Iterable[Prompt]) -> None:
        self._source = iter(prompts)
        self._waiting = deque[Prompt]()

    def first(self, count: int) -> list[Prompt]:
        while len(self._waiting) < count and (prompt := next(self._source, None)):
            self._waiting.append(prompt)
        return list(self._waiting)[:count]

    def drop(self, count: int) -> None:
        for _ in range(count):
            self._waiting.popleft()

    def put_back(self, prompts: Sequence[Prompt]) -> None:
        self._waiting.extendleft(reversed(prompts))


@torch.inference_mode()
def _advance(batch: Rows, queue: _Queue) -> list[Row]:
    """Fill the free rows and decode until some are finished; empty if nothing is left."""
    while True:
        if new := queue.first(batch.free):
            batch.admit(new)
            queue.drop(len(new))
        elif not batch.active:
            return []
        else:
            batch.step()
        if finished := batch.take_finished():
            return finished


def _together(rows: int) -> str:
    return "one chunk" if rows == 1 else f"{rows} chunks together"
