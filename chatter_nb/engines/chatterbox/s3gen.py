"""Upstream's S3Gen for long texts and long recordings: many chunks to samples, hours to tokens.

A chunk becomes what upstream's own `inference` makes of it with the same random numbers, and a
recording of one window what its tokenizer makes of it; only rounding differs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from chatterbox.models.s3tokenizer import S3_HOP
from torch import Tensor

from chatter_nb.audio.reading import Signal
from chatter_nb.engines.chatterbox.device import cpu_has_bfloat16
from chatter_nb.engines.chatterbox.flow import MELS, MELS_PER_TOKEN, Flow, VoicePrompt
from chatter_nb.engines.chatterbox.vocoder import fold_weight_norm, waves_of

FRAMES_PER_TOKEN = 4  # of the tokenizer's log-mel, 100 a second

# s3tokenizer's own windows: 30 s, of which neighbours share 4 s and keep 2 s each.
_SEGMENT_FRAMES, _STRIDE_FRAMES, _SHARED_TOKENS = 3000, 2600, 100
_STRIDE_TOKENS = _STRIDE_FRAMES // FRAMES_PER_TOKEN
_BLOCK_FRAMES = 6000  # of the spectrogram in one go: a minute, 10 MB

_GPU_FRAMES = 8000  # of prompt and speech together: fills a GPU with 2 GB of activations
_MOST_PADDING = 0.15  # of a batch's frames


@dataclass(frozen=True)
class TokenRow:
    """One chunk for S3Gen."""

    tokens: Tensor  # (n,), long, on the device, all under 6561
    generator: torch.Generator  # on the device, where T3 left it: upstream draws on from there


class Synthesizer:
    """Speech tokens to samples for many chunks of one voice: upstream's S3Gen made ready once.

    The S3Gen given is left as it is, but for weight norms that are folded, to the same bits.
    "exact" is float32 throughout, also where torch would let a GPU's convolutions be TF32; "fast"
    is TF32 on CUDA and a bfloat16 estimator where the device multiplies that faster. Never more:
    in 16 bits token ids and phases would be others.
    """

    def __init__(self, s3gen: Any, *, precision: Literal["exact", "fast"] = "exact") -> None:
        self.device = s3gen.device
        self.precision = precision
        # A CPU is busy with one row: more of them, and their padding, only take it longer.
        self.frames_together = 0 if self.device.type == "cpu" else _GPU_FRAMES
        self.estimator_dtype = estimator_dtype(self.device, precision)
        fold_weight_norm(s3gen.mel2wav)
        self._s3gen = s3gen
        self._flow = Flow(s3gen, self.estimator_dtype)

    @torch.inference_mode()
    def waves(
        self, rows: Sequence[TokenRow], prompt: dict[str, Any], *, flow_steps: int | None = None
    ) -> list[Signal]:
        """The rows' samples at 24 kHz, in their order; `prompt` is upstream's `ref_dict`.

        Each is what `s3gen.inference` gives with the global generator where the row's is, whatever
        its company. The global generators are neither used nor changed.
        """
        made: dict[int, Signal] = {}
        with _arithmetic(self.device, self.precision):
            voice = self._flow.prompt(prompt)
            frames = [voice.frames(len(row.tokens)) for row in rows]
            for batch in batches(frames, self.frames_together):
                waves = self._together([rows[index] for index in batch], voice, flow_steps)
                made |= {i: wave.cpu().numpy() for i, wave in zip(batch, waves, strict=True)}
        return [made[index] for index in range(len(rows))]

    def _together(
        self, rows: Sequence[TokenRow], voice: VoicePrompt, flow_steps: int | None
    ) -> list[Tensor]:
        noise = [self._noise(row, voice) for row in rows]
        tokens = [row.tokens for row in rows]
        mels = self._flow.mels(tokens, voice, noise, flow_steps=flow_steps)
        return waves_of(self._s3gen, mels, [row.generator for row in rows])

    def _noise(self, row: TokenRow, voice: VoicePrompt) -> Tensor:
        """(80, frames) for prompt and speech, drawn in upstream's order and shapes."""
        count, own = len(row.tokens), MELS_PER_TOKEN * len(row.tokens)
        shapes = [(1, MELS, own)] if self._flow.meanflow else []  # its own noise for the speech
        shapes.append((1, MELS, voice.frames(count)))
        drawn = [torch.randn(s, generator=row.generator, device=self.device)[0] for s in shapes]
        noise = drawn[-1]
        if self._flow.meanflow:
            noise[:, -own:] = drawn[0]
        return noise


def batches(
    lengths: Sequence[int], most: int, *, padding: float = _MOST_PADDING
) -> list[list[int]]:
    """Indices of rows to run together, longest first: at most `most` frames with the padding.

    A share of at most `padding` of them is padding. A row that is too long is alone.
    """
    found: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if found:
            together = [*found[-1], index]
            area = len(together) * lengths[together[0]]
            if area <= most and sum(lengths[i] for i in together) >= (1 - padding) * area:
                found[-1] = together
                continue
        found.append([index])
    return found


def estimator_dtype(device: torch.device, precision: str) -> torch.dtype:
    """bfloat16 where it is asked for and the processor has instructions for it."""
    if precision == "fast" and (
        (device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0))
        or (device.type == "cpu" and cpu_has_bfloat16())
    ):
        return torch.bfloat16
    return torch.float32


@contextmanager
def _arithmetic(device: torch.device, precision: str) -> Iterator[None]:
    """TF32 on CUDA for `fast` alone: torch's own default has it on for convolutions."""
    if device.type != "cuda":
        yield
        return
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if precision == "fast" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "fast"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions


class SpeechTokens:
    """A recording's speech tokens, 25 a second, made segment by segment as they are asked for.

    `wave` is mono at 16 kHz. Upstream tokenises all segments of a long recording in one batch,
    which an hour has no memory for, and loses 2 s where the last segment is under 4 s long; what is
    kept here is its log-mel, 51 kB a second. The floor of
    the log-mel is relative to the whole recording's maximum, so that all of it is looked at first.
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
        """The tokens that are taken from a segment: all but half of what it shares."""
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
    """Tokens of so many log-mel frames: two convolutions of stride 2."""
    return math.ceil(frames / FRAMES_PER_TOKEN)


def _log_mel(tokenizer: Any, wave: Tensor) -> tuple[Tensor, Tensor]:
    """log10 of the mel spectrum, shape (128, frames), as the tokenizer's own, and its maximum.

    In blocks: the complex spectrogram of an hour would take 600 MB. On the CPU, whatever the
    tokenizer's device is: hours must not fill a GPU.
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
