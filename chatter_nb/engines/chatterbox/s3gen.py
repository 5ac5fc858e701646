"""Upstream's S3Gen for many chunks and long recordings: tokens to samples, hours to tokens.

With the same random numbers a chunk gets the samples of upstream's `inference`, and a recording of
a single segment the tokens of upstream's tokenizer, up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from chatterbox.models.s3tokenizer import S3_HOP
from torch import Tensor

from chatter_nb.audio.reading import Signal
from chatter_nb.engines.chatterbox.device import Precision, free_bytes, s3gen_turn, weights_dtype
from chatter_nb.engines.chatterbox.flow import MELS, MELS_PER_TOKEN, Flow, VoicePrompt, device_of
from chatter_nb.engines.chatterbox.vocoder import fold_weight_norm, hift_in, waves_of

FRAMES_PER_TOKEN = 4  # of the tokenizer's log-mel, 100 a second

# s3tokenizer's segments: 30 s each; neighbours share 4 s, of which each keeps 2 s.
_SEGMENT_FRAMES, _STRIDE_FRAMES, _SHARED_TOKENS = 3000, 2600, 100
_STRIDE_TOKENS = _STRIDE_FRAMES // FRAMES_PER_TOKEN
_BLOCK_FRAMES = 6000  # of the spectrogram at a time: a minute, 10 MB

_GPU_FRAMES = 8000  # of prompt and speech together: they fill a GPU
_FRAME_BYTES = 250_000  # of activations at the peak
_MOST_PADDING = 0.15  # of a batch's frames


@dataclass(frozen=True)
class TokenRow:
    """A chunk for S3Gen."""

    tokens: Tensor  # (n,), long, on the device, all under 6561
    generator: torch.Generator  # on the device, as T3 left it: upstream draws on with it


class Synthesizer:
    """Speech tokens to samples for many chunks of one voice: upstream's S3Gen made ready once.

    Of the given S3Gen only weight norms are changed: they are folded, to the same bits. "exact" is
    float32 throughout, also in a GPU's convolutions, where torch would allow TF32. "fast" is 16
    bits for the estimator (`estimator_dtype`) and, where that is bfloat16 on CUDA, for the
    vocoder's residual blocks. The rest stays in float32: 16 bits would change token ids and phases.
    "int8" is T3's; S3Gen is exact.
    """

    def __init__(self, s3gen: Any, *, precision: Precision = "exact") -> None:
        self.device = device_of(s3gen)
        self.frames_together = _frames_that_fit(self.device)
        self.estimator_dtype = estimator_dtype(self.device, precision)
        fold_weight_norm(s3gen.mel2wav)
        self.s3gen = s3gen
        self.flow = Flow(s3gen, self.estimator_dtype)
        halved = self.device.type == "cuda" and self.estimator_dtype == torch.bfloat16
        self._hift = hift_in(s3gen.mel2wav, torch.bfloat16) if halved else s3gen.mel2wav
        self._notes: list[str] = []

    def turn(self) -> AbstractContextManager[None]:
        """The lock and the precision that its calls are made in."""
        return s3gen_turn(self.device)

    @torch.inference_mode()
    def waves(
        self,
        rows: Sequence[TokenRow],
        prompt: dict[str, Any],
        *,
        flow_steps: int | None = None,
        on_note: Callable[[str], object] = lambda _: None,
    ) -> list[Signal]:
        """The samples of rows at 24 kHz, in order; `prompt` is upstream's `ref_dict`.

        Beside any other rows, a row gets the samples of `s3gen.inference` with a global generator
        in the state of the row's. The global generators are neither used nor changed. `on_note`
        gets a message if float16 did not hold the estimator's numbers.
        """
        waves_by_index: dict[int, Signal] = {}
        with self.turn():
            voice = self.flow.prompt(prompt)
            frames = [voice.frames(len(row.tokens)) for row in rows]
            for batch in batches(frames, self.frames_together):
                waves = self._together([rows[index] for index in batch], voice, flow_steps)
                for index, wave in zip(batch, waves, strict=True):
                    waves_by_index[index] = wave.cpu().numpy()
        while self._notes:
            on_note(self._notes.pop(0))
        return [waves_by_index[index] for index in range(len(rows))]

    def _together(
        self, rows: Sequence[TokenRow], voice: VoicePrompt, flow_steps: int | None
    ) -> list[Tensor]:
        noise = [self._noise(row, voice) for row in rows]
        tokens = [row.tokens for row in rows]
        mels = self.mels(tokens, voice, noise, flow_steps=flow_steps)
        return waves_of(self._hift, self.s3gen.trim_fade, mels, [row.generator for row in rows])

    def mels(
        self,
        tokens: Sequence[Tensor],
        voice: VoicePrompt,
        noise: Sequence[Tensor],
        *,
        flow_steps: int | None = None,
    ) -> list[Tensor]:
        """See `Flow.mels`. Where float16 does not hold its numbers, it has float32 from now on."""
        mels = self.flow.mels(tokens, voice, noise, flow_steps=flow_steps)
        if self.estimator_dtype != torch.float16 or torch.cat(mels, 1).isfinite().all():
            return mels
        self._notes.append(
            "S3Gen's numbers are too large for float16: went on with float32, slower"
        )
        self.estimator_dtype = torch.float32
        self.flow = Flow(self.s3gen)
        return self.flow.mels(tokens, voice, noise, flow_steps=flow_steps)

    def _noise(self, row: TokenRow, voice: VoicePrompt) -> Tensor:
        """(80, frames) for prompt and speech, drawn in upstream's order and shapes."""

        def drawn(frames: int) -> Tensor:
            return torch.randn((1, MELS, frames), generator=row.generator, device=self.device)[0]

        tokens = len(row.tokens)
        if not self.flow.meanflow:
            return drawn(voice.frames(tokens))
        speech = drawn(MELS_PER_TOKEN * tokens)  # drawn first: its own noise for the speech
        return torch.cat([drawn(voice.frames(tokens))[:, : -speech.shape[1]], speech], dim=1)


def batches(
    lengths: Sequence[int], most: int, *, padding: float = _MOST_PADDING
) -> list[list[int]]:
    """Lists of indices of rows to run together, the longest first.

    A batch has at most `most` frames, of which a share of at most `padding` is padding. A longer
    row is alone.
    """
    batched: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batched:
            together = [*batched[-1], index]
            area = len(together) * lengths[together[0]]
            if area <= most and sum(lengths[i] for i in together) >= (1 - padding) * area:
                batched[-1] = together
                continue
        batched.append([index])
    return batched


def estimator_dtype(device: torch.device, precision: str) -> torch.dtype:
    """The estimator's type: float32, or 16 bits under `precision` "fast", as T3's weights.

    On Apple's GPU it stays float32: nobody has listened to its float16.
    """
    return torch.float32 if device.type == "mps" else weights_dtype(str(device), precision)


def _frames_that_fit(device: torch.device) -> int:
    """The most frames of a batch: of the free memory T3's cache takes a half, a batch a quarter.

    A CPU is busy with one row: more of them, and their padding, only take it longer.
    """
    if device.type == "cpu":
        return 0
    return min(_GPU_FRAMES, free_bytes(device) // 4 // _FRAME_BYTES)


class SpeechTokens:
    """The speech tokens of a recording, 25 a second, made segment by segment when needed.

    `wave` is mono at 16 kHz. Upstream tokenises all segments of a recording in a single batch, for
    which an hour needs too much memory, and loses 2 s if the last segment is under 4 s long. Here
    the log-mel of the whole recording is kept, 51 kB a second: its floor depends on the maximum of
    the whole recording.
    """

    def __init__(self, tokenizer: Any, wave: Tensor) -> None:
        self._tokenizer = tokenizer
        self._log_mel, self._top = _log_mel(tokenizer, wave)
        self._frames = self._log_mel.shape[1]
        self.count = token_count(self._frames)
        self._segments: dict[int, Tensor] = {}

    def between(self, start: int, end: int) -> Tensor:
        """Tokens [start, end), shape (end - start,)."""
        long = self._frames > _SEGMENT_FRAMES
        last = math.ceil(self._frames / _STRIDE_FRAMES) - 1 if long else 0
        first_segment, last_segment = (self._owner(at, last) for at in (start, end - 1))
        pieces = []
        for index in range(first_segment, last_segment + 1):
            own_start, own_end = self._owned(index, last)
            low, high = max(start, own_start), min(end, own_end)
            offset = index * _STRIDE_TOKENS
            pieces.append(self._segment(index)[low - offset : high - offset])
        return torch.cat(pieces)

    def _owned(self, index: int, last: int) -> tuple[int, int]:
        """The range of tokens that a segment gives: all but half of the tokens that it shares."""
        start = index * _STRIDE_TOKENS + (_SHARED_TOKENS // 2 if index else 0)
        end = self.count if index == last else (index + 1) * _STRIDE_TOKENS + _SHARED_TOKENS // 2
        return min(start, self.count), min(end, self.count)

    @staticmethod
    def _owner(token: int, last: int) -> int:
        return min(last, max(0, token - _SHARED_TOKENS // 2) // _STRIDE_TOKENS)

    def _segment(self, index: int) -> Tensor:
        if index not in self._segments:
            start = index * _STRIDE_FRAMES
            log_mel = self._log_mel[:, start : start + _SEGMENT_FRAMES]
            features = (torch.maximum(log_mel, self._top - 8.0) + 4.0) / 4.0
            features = features.to(self._tokenizer.device)
            lengths = torch.tensor([features.shape[1]], device=features.device)
            tokens, _ = self._tokenizer.quantize(features[None], lengths)
            self._segments = {k: v for k, v in self._segments.items() if k >= index - 1}
            self._segments[index] = tokens[0].long()
        return self._segments[index]


def token_count(frames: int) -> int:
    """How many tokens `frames` of the log-mel give, through two convolutions of stride 2."""
    return math.ceil(frames / FRAMES_PER_TOKEN)


def _log_mel(tokenizer: Any, wave: Tensor) -> tuple[Tensor, Tensor]:
    """log10 of the mel spectrum, shape (128, frames), as the tokenizer makes it, and its maximum.

    It is made in blocks, because the complex spectrogram of an hour takes 600 MB, and kept on the
    CPU, because hours must not fill a GPU.
    """
    half = tokenizer.n_fft // 2
    frames = wave.shape[0] // S3_HOP
    padded = F.pad(wave[None, None], (half, half), mode="reflect")[0, 0]
    window, filters = tokenizer.window, tokenizer._mel_filters
    blocks = []
    for start in range(0, frames, _BLOCK_FRAMES):
        count = min(_BLOCK_FRAMES, frames - start)
        samples = padded[start * S3_HOP : (start + count - 1) * S3_HOP + tokenizer.n_fft]
        spectrum = torch.stft(
            samples.to(window.device),
            tokenizer.n_fft,
            S3_HOP,
            window=window,
            center=False,
            return_complex=True,
        )
        blocks.append(torch.clamp(filters @ spectrum.abs() ** 2, min=1e-10).log10().cpu())
    log_mel = torch.cat(blocks, dim=1)
    return log_mel, log_mel.max()
