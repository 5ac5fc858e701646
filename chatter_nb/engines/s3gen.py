"""Long recordings through upstream's S3Gen: tokens, mel windows that share their noise, samples.

Every stage gives, of a recording of one window, exactly what upstream's own call gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from chatterbox.models.s3tokenizer import S3_HOP
from torch import Tensor

FRAMES_PER_TOKEN = 4  # of the tokenizer's log-mel, 100 a second
MELS_PER_TOKEN = 2  # 50 a second
SAMPLES_PER_MEL = 480  # at 24 kHz
FLOW_STEPS = 10  # upstream's default

# s3tokenizer's own windows: 30 s, of which neighbours share 4 s and keep 2 s each.
_SEGMENT_FRAMES, _STRIDE_FRAMES, _SHARED_TOKENS = 3000, 2600, 100
_STRIDE_TOKENS = _STRIDE_FRAMES // FRAMES_PER_TOKEN
_BLOCK_FRAMES = 6000  # of the spectrogram in one go: a minute, 10 MB

# HiFT sees 13 frames to each side (its convolutions at 1, 8, 40 and 120 times the frame rate), its
# pitch predictor 5.
_DECODE_CONTEXT, _PITCH_CONTEXT = 20, 8
VOCODER_CONTEXT = _DECODE_CONTEXT + _PITCH_CONTEXT


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


def mel_of(
    s3gen: Any, tokens: Tensor, prompt: dict[str, Any], noise: Tensor, *, flow_steps: int
) -> Tensor:
    """The mels of speech tokens of shape (rows, n): (rows, 80, 2 n).

    `noise` spans the prompt's frames too, shape (rows, 80, prompt + 2 n): what it does not cover
    upstream draws from the global generator.
    """
    return s3gen.forward(
        tokens,
        ref_wav=None,
        ref_sr=None,
        ref_dict=prompt,
        finalize=True,
        skip_vocoder=True,
        n_cfm_timesteps=flow_steps,
        noised_mels=noise,
    )


class Vocoder:
    """Mel frames to 24 kHz samples in spans, with no seam between them.

    A span is decoded with the frames around it that HiFT sees, so that its samples are those of
    decoding all at once; the sources of pitch run on in phase. Draws from torch's global
    generators, in upstream's order. `write` gets mono float32 arrays.
    """

    def __init__(self, s3gen: Any, write: Callable[[Any], object]) -> None:
        self._hift = s3gen.mel2wav
        self._fade = s3gen.trim_fade
        self._write = write
        self._mel = torch.zeros(80, 0)
        self._source = torch.zeros(1, 1, 0)
        self._first = 0  # absolute frame at which _mel and _source begin
        self._made = 0  # frames that are written
        self._phase: Tensor | None = None  # where each harmonic began
        self._cycles = torch.zeros(1, 1, 1, dtype=torch.float64)  # … and how far it has run

    def add(self, mel: Tensor, *, last: bool = False) -> None:
        """Take frames, shape (80, n), and write all samples that no later frame can change."""
        self._mel = torch.cat([self._mel.to(mel), mel], dim=1)
        known = self._first + self._mel.shape[1]
        end = known if last else known - VOCODER_CONTEXT
        if end <= self._made:
            return
        self._extend_source(known if last else known - _PITCH_CONTEXT)
        self._write(self._decode(self._made, end, known if last else end + _DECODE_CONTEXT))
        self._made = end
        self._forget(end - VOCODER_CONTEXT)

    def _decode(self, start: int, end: int, right: int) -> Any:
        left = max(self._first, start - _DECODE_CONTEXT)
        mel = self._mel[:, left - self._first : right - self._first]
        source = self._source[
            :, :, (left - self._first) * SAMPLES_PER_MEL : (right - self._first) * SAMPLES_PER_MEL
        ]
        wave = self._hift.decode(x=mel[None], s=source)[0]
        wave = wave[(start - left) * SAMPLES_PER_MEL : (end - left) * SAMPLES_PER_MEL]
        # Upstream's fade-in of the first 40 ms, against a spill-over from the prompt.
        fade = self._fade[start * SAMPLES_PER_MEL :][: len(wave)]
        wave[: len(fade)] *= fade
        return wave.cpu().numpy()

    def _extend_source(self, end: int) -> None:
        """Add the excitation up to frame `end`, its harmonics running on from where they are."""
        have = self._first + self._source.shape[2] // SAMPLES_PER_MEL
        left = max(self._first, have - _PITCH_CONTEXT)
        pitch_hz = self._hift.f0_predictor(self._mel[None, :, left - self._first :])
        new = self._excite(pitch_hz[:, have - left : end - left])
        self._source = torch.cat([self._source.to(new), new], dim=2)

    def _excite(self, pitch_hz: Tensor) -> Tensor:
        """HiFT's harmonic source (`SourceModuleHnNSF`) of frames (1, n), with a phase to begin at.

        Upstream's begins anew at each call, which would click at every span.
        """
        module, sines = self._hift.m_source, self._hift.m_source.l_sin_gen
        pitch = self._hift.f0_upsamp(pitch_hz[:, None])
        numbers = range(1, sines.harmonic_num + 2)
        cycles = torch.cat([pitch * n / sines.sampling_rate for n in numbers], dim=1)
        if self._phase is None:
            uniform = torch.distributions.Uniform(low=-math.pi, high=math.pi)
            self._phase = uniform.sample(sample_shape=(1, len(numbers), 1)).to(cycles.device)
            self._phase[:, 0, :] = 0
        begun = (2 * math.pi * self._cycles).to(cycles)
        angle = 2 * math.pi * (torch.cumsum(cycles, dim=-1) % 1) + (self._phase + begun)
        total = cycles.cpu().double().sum(dim=-1, keepdim=True)
        self._cycles = (self._cycles + total) % 1
        voiced = (pitch > sines.voiced_threshold).to(torch.float32)
        waves = sines.sine_amp * torch.sin(angle)
        loudness = voiced * sines.noise_std + (1 - voiced) * sines.sine_amp / 3
        waves = waves * voiced + loudness * torch.randn_like(waves)
        merged = module.l_tanh(module.l_linear(waves.transpose(1, 2))).transpose(1, 2)
        torch.randn_like(voiced)  # upstream draws its unused noise branch: keep in step with it
        return merged

    def _forget(self, before: int) -> None:
        drop = max(0, before - self._first)
        self._mel = self._mel[:, drop:].clone()
        self._source = self._source[:, :, drop * SAMPLES_PER_MEL :].clone()
        self._first += drop
