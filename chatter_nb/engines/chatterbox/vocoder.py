"""Mel frames to samples with upstream's HiFT: many rows at once, or a long row in spans.

The modules are upstream's, and so is the order of their random numbers. New are masks that keep the
padding of a row out of its sound, and sources that run on from span to span.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import mul
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

SAMPLES_PER_MEL = 480  # at 24 kHz

# HiFT sees 13 frames to each side (its convolutions at 1, 8, 40 and 120 times the frame rate), its
# pitch predictor 5.
_DECODE_CONTEXT, _PITCH_CONTEXT = 20, 8
VOCODER_CONTEXT = _DECODE_CONTEXT + _PITCH_CONTEXT


def fold_weight_norm(hift: nn.Module) -> None:
    """Compute the weights of 82 layers once, to the same bits; upstream does so on every call."""
    for module in hift.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)


def hift_in(hift: Any, dtype: torch.dtype) -> Any:
    """`hift` with residual blocks of its own, most of the work, in `dtype`; it shares the rest."""
    other = copy.copy(hift)
    other._modules = dict(hift._modules)
    for name in ("resblocks", "source_resblocks"):
        other._modules[name] = copy.deepcopy(hift._modules[name]).to(dtype)
    return other


def waves_of(
    hift: Any, fade: Tensor, mels: Sequence[Tensor], generators: Sequence[torch.Generator]
) -> list[Tensor]:
    """The samples, (480 n,) each, of rows of mels, (80, n) each, as upstream makes each alone.

    `fade` (samples,) is laid on the beginning of each.

    Upstream sums the cycles of the pitch in float32. That sets the difference: within 1e-4 of full
    scale for some 4 s, within 2e-4 after 12 s.
    """
    frames = [mel.shape[1] for mel in mels]
    mel = _padded(mels)
    pitch_hz = _pitch(hift, mel, frames)
    sources = [
        _source(hift, row_hz[None, :count], generator)
        for row_hz, count, generator in zip(pitch_hz, frames, generators, strict=True)
    ]
    return [_faded(wave, fade, 0) for wave in _decoded(hift, mel, sources, frames)]


class Vocoder:
    """Mel frames to 24 kHz samples in spans, with no seam between them.

    A span is decoded with the frames around it that HiFT sees, so its samples are those of decoding
    all frames at once; the sources of pitch run on in phase. It draws from `generator`, on the
    device, in upstream's order. `write` gets mono float32 arrays.
    """

    def __init__(
        self, s3gen: Any, generator: torch.Generator, write: Callable[[Any], object]
    ) -> None:
        self._generator = generator
        self._hift = s3gen.mel2wav
        fold_weight_norm(self._hift)
        self._fade = s3gen.trim_fade
        self._write = write
        self._mel = torch.zeros(80, 0)
        self._source = torch.zeros(1, 1, 0)
        self._first = 0  # absolute frame at which _mel and _source begin
        self._written = 0  # frames that are written
        self._phase: Tensor | None = None  # where each harmonic began
        self._cycles = torch.zeros(1, 1, 1, dtype=torch.float64)  # … and how far it has run

    def add(self, mel: Tensor, *, last: bool = False) -> None:
        """Take mel frames, shape (80, n); write the samples that no later frame can change."""
        self._mel = torch.cat([self._mel.to(mel), mel], dim=1)
        known = self._first + self._mel.shape[1]
        end = known if last else known - VOCODER_CONTEXT
        if end <= self._written:
            return
        self._extend_source(known if last else known - _PITCH_CONTEXT)
        self._write(self._decode(self._written, end, known if last else end + _DECODE_CONTEXT))
        self._written = end
        self._forget(end - VOCODER_CONTEXT)

    def _decode(self, start: int, end: int, right: int) -> Any:
        left = max(self._first, start - _DECODE_CONTEXT)
        mel = self._mel[:, left - self._first : right - self._first]
        source = self._source[
            :, :, (left - self._first) * SAMPLES_PER_MEL : (right - self._first) * SAMPLES_PER_MEL
        ]
        (wave,) = _decoded(self._hift, mel[None], [source], [right - left])
        wave = wave[(start - left) * SAMPLES_PER_MEL : (end - left) * SAMPLES_PER_MEL]
        return _faded(wave, self._fade, start * SAMPLES_PER_MEL).cpu().numpy()

    def _extend_source(self, end: int) -> None:
        """Add the excitation up to frame `end`; its harmonics run on."""
        have = self._first + self._source.shape[2] // SAMPLES_PER_MEL
        left = max(self._first, have - _PITCH_CONTEXT)
        pitch_hz = self._hift.f0_predictor(self._mel[None, :, left - self._first :])
        new = self._excite(pitch_hz[:, have - left : end - left])
        self._source = torch.cat([self._source.to(new), new], dim=2)

    def _excite(self, pitch_hz: Tensor) -> Tensor:
        """The source of pitch (1, n). Upstream's begins anew on each call, with a click."""
        if self._phase is None:
            self._phase = _begin(self._hift, self._generator)
        pitch, cycles = _cycles(self._hift, pitch_hz)
        begun = (2 * math.pi * self._cycles).to(cycles)
        total = cycles.cpu().double().sum(dim=-1, keepdim=True)
        self._cycles = (self._cycles + total) % 1
        noise = _noise_like(cycles, self._generator)
        _noise_like(pitch, self._generator)  # upstream's, for a branch that it never uses
        return _excited(self._hift, pitch, cycles, self._phase + begun, noise)

    def _forget(self, before: int) -> None:
        drop = max(0, before - self._first)
        self._mel = self._mel[:, drop:].clone()
        self._source = self._source[:, :, drop * SAMPLES_PER_MEL :].clone()
        self._first += drop


def _faded(wave: Tensor, fade: Tensor, start: int) -> Tensor:
    """Apply upstream's fade-in of the first 40 ms, which hides sound of the prompt."""
    rest = fade[start:][: len(wave)]
    wave[: len(rest)] *= rest
    return wave


class _Ends:
    """Sets all values beyond the end of a row to zero, as convolutions see them after a single row.

    `lengths` are in frames; the rate of a tensor follows from its length. If all rows have the same
    length, nothing is changed.
    """

    def __init__(self, hift: Any, lengths: Sequence[int], device: torch.device) -> None:
        self._masks: dict[int, Tensor] = {}
        longest = max(lengths)
        rates = list(accumulate((up.stride[0] for up in hift.ups), mul, initial=1))
        for rate in rates if min(lengths) < longest else ():
            more = int(rate == rates[-1])  # a frame more where they are the spectrum's
            mask = torch.ones(len(lengths), 1, longest * rate + more, device=device)
            for row, length in zip(mask, lengths, strict=True):
                row[:, length * rate + more :] = 0
            self._masks[mask.shape[2]] = mask

    def __call__(self, x: Tensor) -> Tensor:
        """`x` (rows, channels, time), changed in place."""
        return x.mul_(self._masks[x.shape[2]]) if self._masks else x


def _pitch(hift: Any, mel: Tensor, frames: Sequence[int]) -> Tensor:
    """Mel (rows, 80, n) to pitch in Hz, (rows, n)."""
    ends, predictor = _Ends(hift, frames, mel.device), hift.f0_predictor
    for layer in predictor.condnet:
        mel = ends(layer(mel)) if isinstance(layer, nn.Conv1d) else layer(mel)
    return predictor.classifier(mel.transpose(1, 2)).squeeze(2).abs()


def _source(hift: Any, pitch_hz: Tensor, generator: torch.Generator) -> Tensor:
    """The excitation, (1, 1, 480 n), of a row's pitch (1, n)."""
    phase = _begin(hift, generator)
    pitch, cycles = _cycles(hift, pitch_hz)
    return _excited(hift, pitch, cycles, phase, _noise_like(cycles, generator))


def _noise_like(x: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator, device=x.device)


def _begin(hift: Any, generator: torch.Generator) -> Tensor:
    """The phase of each harmonic at its start, (1, harmonics, 1).

    Upstream draws it on the CPU with any device. With a GPU that is another generator, from which
    nothing was drawn since it was seeded.
    """
    device = generator.device
    if device.type != "cpu":
        generator = torch.Generator().manual_seed(generator.initial_seed())
    harmonics = hift.m_source.l_sin_gen.harmonic_num + 1
    low, high = torch.tensor(-math.pi), torch.tensor(math.pi)
    phase = low + torch.rand(1, harmonics, 1, generator=generator) * (high - low)
    phase[:, 0] = 0
    return phase.to(device)


def _cycles(hift: Any, pitch_hz: Tensor) -> tuple[Tensor, Tensor]:
    """Pitch in Hz and each harmonic's cycles a sample, (1, 1, samples) and (1, harmonics, …)."""
    sines = hift.m_source.l_sin_gen
    pitch = hift.f0_upsamp(pitch_hz[:, None])
    numbers = range(1, sines.harmonic_num + 2)
    return pitch, torch.cat([pitch * n / sines.sampling_rate for n in numbers], dim=1)


def _excited(hift: Any, pitch: Tensor, cycles: Tensor, phase: Tensor, noise: Tensor) -> Tensor:
    """HiFT's harmonic source (`SourceModuleHnNSF`), in upstream's order of rounding."""
    module, sines = hift.m_source, hift.m_source.l_sin_gen
    # In float32 a last bit of the mel moves later samples by up to 2e-4. On a CPU that is kept, as
    # upstream's own rounding; on a GPU, where rows share batches, none may hear its company.
    summed = torch.cumsum(cycles, dim=-1, dtype=torch.float64 if cycles.is_cuda else torch.float32)
    angle = 2 * math.pi * (summed % 1).float() + phase
    voiced = (pitch > sines.voiced_threshold).to(torch.float32)
    loudness = voiced * sines.noise_std + (1 - voiced) * sines.sine_amp / 3
    waves = sines.sine_amp * torch.sin(angle) * voiced + loudness * noise
    return module.l_tanh(module.l_linear(waves.transpose(1, 2))).transpose(1, 2)


def _decoded(
    hift: Any, mel: Tensor, sources: Sequence[Tensor], frames: Sequence[int]
) -> list[Tensor]:
    """HiFT's `decode` of rows padded to (rows, 80, n): their samples, (480 n,) each.

    The spectra of sources and samples are computed for each row: they reflect at its ends.
    """
    ends = _Ends(hift, frames, mel.device)
    source = _padded([torch.cat(hift._stft(row[:, 0]), dim=1)[0] for row in sources])
    x = hift.conv_pre(mel)
    for stage, up in enumerate(hift.ups):
        x = up(F.leaky_relu_(ends(x), hift.lrelu_slope))
        if stage == len(hift.ups) - 1:
            x = hift.reflection_pad(x)
        added = _resblock(
            hift.source_resblocks[stage], ends(hift.source_downs[stage](source)), ends
        )
        x = ends(x.add_(added))
        blocks = hift.resblocks[stage * hift.num_kernels : (stage + 1) * hift.num_kernels]
        total = _resblock(blocks[0], x, ends).float()
        for block in blocks[1:]:
            total += _resblock(block, x, ends)
        x = total.div_(hift.num_kernels)
    spectrum = hift.conv_post(F.leaky_relu_(x))
    bins = hift.istft_params["n_fft"] // 2 + 1
    per_frame = SAMPLES_PER_MEL // hift.istft_params["hop_len"]
    waves = []
    for row, count in zip(spectrum, frames, strict=True):
        frames_of_row = row[None, :, : count * per_frame + 1]
        magnitudes, phases = frames_of_row[:, :bins], frames_of_row[:, bins:]
        wave = hift._istft(torch.exp(magnitudes), torch.sin(phases))[0]
        waves.append(torch.clamp(wave, -hift.audio_limit, hift.audio_limit))
    return waves


def _resblock(block: Any, x: Tensor, ends: _Ends) -> Tensor:
    """The block of `x`, in the type of its weights."""
    x = x.to(block.convs1[0].weight.dtype)
    parts = (block.activations1, block.convs1, block.activations2, block.convs2)
    for snake1, conv1, snake2, conv2 in zip(*parts, strict=True):
        inner = ends(conv1(_snake(snake1, x)))
        x = ends(conv2(_snake(snake2, inner))).add_(x)
    return x


def _snake(snake: Any, x: Tensor) -> Tensor:
    """x + sin²(αx)/α in a single buffer: memory traffic costs as much as the convolutions."""
    alpha = snake.alpha[:, None]
    wave = (x * alpha).sin_()
    return wave.mul_(wave).mul_(1.0 / (alpha + snake.no_div_by_zero)).add_(x)


def _padded(rows: Sequence[Tensor]) -> Tensor:
    """(channels, n) each to (rows, channels, longest), zeroes at the ends."""
    longest = max(row.shape[1] for row in rows)
    return torch.stack([F.pad(row, (0, longest - row.shape[1])) for row in rows])
