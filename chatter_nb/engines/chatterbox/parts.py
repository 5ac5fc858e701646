"""A chunk heard in parts while T3 still decodes it: windows of tokens to mel, joined and vocoded.

The parts are a rendering of their own: windows with context instead of the whole chunk, a shorter
voice prompt, other noise. When a window is made depends on the number of tokens alone, so the same
chunk has the same parts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from chatter_nb.audio.reading import Signal, check_signal
from chatter_nb.audio.windows import STEPS_PER_S, Window
from chatter_nb.base.errors import EngineError, OutOfMemory
from chatter_nb.engines.base import ChunkRequest, OnPart
from chatter_nb.engines.chatterbox.convert import MelJoiner, cropped_mel, noise_of
from chatter_nb.engines.chatterbox.device import memory_explained, one_at_a_time
from chatter_nb.engines.chatterbox.flow import MELS, MELS_PER_TOKEN, VoicePrompt
from chatter_nb.engines.chatterbox.tokens import SMALLER, Adapter, flow_steps
from chatter_nb.text.pace import chars_per_s

# In tokens, 25 a second. These sizes keep S3Gen's work for the parts of a chunk of 60 to 600
# tokens under twice the work for the whole chunk, whatever the length of the voice prompt.
FIRST_WINDOW = 32  # the first sound is 0.6 s of it: HiFT waits for 28 frames more
GROWTH = 1.5
CONTEXT = 36  # on the left
LOOK_AHEAD = 3  # of S3Gen's encoder
OVERLAP = 3
PROMPT_SHARE = 0.4  # of the voice prompt
# More tokens than a slow speaker needs for the text: the chunk may not end, so its parts wait.
SLOWEST_PACE = 0.5
_PAUSES_S = 2.0


class Parts:
    """The parts of one request, whose samples at 24 kHz go to `on_part`.

    Call `grow` as T3 decodes, then `finish`. `spent_s` is the time of both. If the memory is too
    small for a window, there are no more parts.
    """

    def __init__(self, adapter: Adapter, request: ChunkRequest, on_part: OnPart) -> None:
        self._adapter, self._request, self._on_part = adapter, request, on_part
        self._synthesizer = adapter.synthesizer(request)
        self._device = self._synthesizer.device
        self._prompt = self._shortened(adapter.decoder_prompt(request))
        self._most = _most_tokens(request)
        # Turbo adds a silent end; a chunk has one token more than it may have with Turbo.
        longest = adapter.prompt(request.text, request.seed, request).max_new_tokens + 8
        generator = torch.Generator(self._device).manual_seed(request.seed)
        shape = (MELS, self._prompt.frames(longest))
        self._noise = torch.randn(shape, generator=generator, device=self._device)
        self._joiner = MelJoiner(self._synthesizer.s3gen, generator, self._give)
        self._start, self._size, self._windows = 0, FIRST_WINDOW, 0
        self._fits = True
        self.spent_s = 0.0

    def grow(self, tokens: Sequence[int]) -> None:
        """Make the windows that are complete, of all `tokens` so far."""
        while self._fits and self._start + self._size + LOOK_AHEAD <= min(len(tokens), self._most):
            self._make(tokens, self._start + self._size, last=False)

    def finish(self, tokens: Tensor) -> bool:
        """Make the rest of all tokens (n,). Returns whether the parts say the whole chunk."""
        self.grow(tokens.tolist())
        ended = self._adapter.with_end(tokens)
        if self._fits:
            self._make(ended.tolist(), len(ended), last=True)
        return self._fits

    def _make(self, tokens: Sequence[int], end: int, *, last: bool) -> None:
        """The window from the last one's overlap to `end`, and what it completes."""
        begun_s = time.perf_counter()
        overlap = 0 if last else OVERLAP
        window = Window(self._windows, self._start, end, overlap, last)
        try:
            with one_at_a_time(), self._synthesizer.turn():
                mel = self._mel(tokens, window)
                self._joiner.add(window, mel)
        except OutOfMemory:
            self._fits = False
        self._start, self._size = end - overlap, int(self._size * GROWTH)
        self._windows += 1
        self.spent_s += time.perf_counter() - begun_s

    @torch.inference_mode()
    def _mel(self, tokens: Sequence[int], window: Window) -> Signal:
        """The mel of a window, flat, frame after frame."""
        start = max(0, window.start - CONTEXT)
        end = min(len(tokens), window.end + LOOK_AHEAD)
        noise = noise_of((start, end), self._noise, self._prompt)
        near = torch.tensor(tokens[start:end], dtype=torch.long, device=self._device)
        with memory_explained("a part of a chunk", SMALLER):
            (mel,) = self._synthesizer.mels(
                [near], self._prompt, [noise], flow_steps=flow_steps(self._request)
            )
        return cropped_mel(mel, window, start)

    @torch.inference_mode()
    def _shortened(self, ref: dict[str, Any]) -> VoicePrompt:
        with self._synthesizer.turn():
            prompt = self._synthesizer.flow.prompt(ref)
        tokens = max(1, round(PROMPT_SHARE * len(prompt.tokens)))
        mels = prompt.mels[: MELS_PER_TOKEN * tokens]
        return VoicePrompt(prompt.tokens[:tokens], mels, prompt.speaker)

    def _give(self, samples: Signal) -> None:
        name = self._adapter.name
        self._on_part(check_signal(samples, where=f"{name}, a part", error=EngineError))


def _most_tokens(request: ChunkRequest) -> int:
    """The tokens that the text takes at the slowest pace."""
    spoken_s = len(request.text) / chars_per_s(request.language) / SLOWEST_PACE
    return round(STEPS_PER_S * (spoken_s + _PAUSES_S))
