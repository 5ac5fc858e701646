"""Chatterbox' voice conversion: the words and timing of a recording in a target's voice.

The whole recording is tokenised once; windows of tokens become mel with context on both sides and
noise that belongs to absolute frames, are joined as mel, and vocoded without a seam.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from chatterbox.models.s3gen import S3GEN_SR
from chatterbox.models.s3tokenizer import S3_HOP, S3_SR
from torch import Tensor

from chatter_nb.audio.reading import Signal, check_signal
from chatter_nb.audio.windows import STEPS_PER_S, Window
from chatter_nb.base.errors import EngineError
from chatter_nb.engines.base import Voice
from chatter_nb.engines.chatterbox.conditionals import (
    DECODER_PROMPT_S,
    Conditionals,
    VoiceShelf,
    encode_for_s3gen,
)
from chatter_nb.engines.chatterbox.device import RandomState, memory_told, seeded
from chatter_nb.engines.chatterbox.flow import FLOW_STEPS, MELS, MELS_PER_TOKEN, Flow
from chatter_nb.engines.chatterbox.loading import load_s3gen
from chatter_nb.engines.chatterbox.s3gen import SpeechTokens, token_count
from chatter_nb.engines.chatterbox.vocoder import SAMPLES_PER_MEL, Vocoder
from chatter_nb.engines.checkpoints import PACKAGE, identity, locate
from chatter_nb.engines.registry import VC_ENGINES
from chatter_nb.engines.voices import MIN_S
from chatter_nb.engines.watermark import load_perth

if TYPE_CHECKING:
    from chatter_nb.engines.voices import Library, Recording

REVISION = 2  # of how windows are made here: a change of it makes kept ones anew
LEFT_CONTEXT_STEPS = 2 * STEPS_PER_S
RIGHT_CONTEXT_STEPS = STEPS_PER_S // 2 + 3  # half a second, and the encoder's look-ahead
# Seconds of work a second of audio. CPU: 2 cores, random full weights, windows of 10 s. The
# others are guesses.
_RTF = {"cpu": 6.0, "mps": 1.0, "cuda": 0.1}


class ChatterboxConverter:
    """`ConvertEngine` over upstream's S3Gen, the one the English speech engine uses."""

    name = "chatterbox"
    sample_rate = S3GEN_SR
    source_rate = S3_SR
    takes = VC_ENGINES[name].takes
    precision = "exact"
    watermarked = True
    min_voice_s: float | None = MIN_S
    needs_voice = False

    def __init__(self, *, device: str = "cpu", checkpoint: str = "") -> None:
        folder = locate("chatterbox-vc", checkpoint)
        self.device = device
        self.rows = 4 if device.startswith("cuda") else 1  # a CPU gains nothing from company
        self.typical_rtf = _RTF[device.partition(":")[0]]
        own = identity(folder, "chatterbox-vc")
        self.version = f"{version(PACKAGE)}+{own}+r{REVISION}"
        self._perth = load_perth(device)  # held, so that each output of a run finds it loaded
        self._s3gen = load_s3gen(folder, "s3gen.safetensors", device)
        self._flow = Flow(self._s3gen)
        self._voices = VoiceShelf(
            folder, f"vc {self.version}", self._encode, min_s=MIN_S, heard_s=DECODER_PROMPT_S
        )

    def prepare_voice(self, voice: str, library: Library) -> Voice:
        """The target's prompt; empty for the checkpoint's own voice."""
        return self._voices.voice(voice, library)

    def steps(self, samples: int) -> int:
        """A token a step; the last one may be partly silence."""
        return token_count(samples // S3_HOP)

    def begin(
        self, source: Signal, voice: Voice, *, seed: int, knobs: Mapping[str, float | int]
    ) -> _Conversion:
        flow_steps = int(knobs.get("n_cfm_timesteps", FLOW_STEPS))
        with memory_told("the recording's tokens", "convert it in parts, or choose device: cpu"):
            prompt = voice.data.for_s3gen(self.device, knobs.get("prompt_s"))
            return _Conversion(self._s3gen, self._flow, source, prompt, seed, flow_steps)

    def _encode(self, recording: Recording) -> Conditionals:
        return Conditionals(None, encode_for_s3gen(recording, self._s3gen, self.device))


class _Conversion:
    def __init__(
        self,
        s3gen: Any,
        flow: Flow,
        source: Signal,
        prompt: dict[str, Any],
        seed: int,
        flow_steps: int,
    ) -> None:
        self._s3gen, self._flow, self._flow_steps = s3gen, flow, flow_steps
        with torch.inference_mode():
            self._prompt = flow.prompt(prompt)
            self._tokens = SpeechTokens(s3gen.tokenizer, torch.from_numpy(source))
        self.steps = self._tokens.count
        self._prompt_mels = self._prompt.frames(0)
        with seeded(seed):
            self._noise = torch.randn(1, MELS, self._prompt.frames(self.steps), device=flow.device)[
                0
            ]
            self._then = RandomState()  # upstream's vocoder draws on after the flow's noise

    def shape(self, window: Window) -> int:
        """Its steps, context included: rows of other lengths would need padding."""
        start, end = self._with_context(window)
        return end - start

    def convert(self, windows: Sequence[Window]) -> list[Signal]:
        """Each window's mel, frame after frame: shape (2 · steps · 80,)."""
        spans = [self._with_context(window) for window in windows]
        what = f"{len(windows)} windows together" if len(windows) > 1 else _WINDOW
        with torch.inference_mode(), memory_told(what, _SMALLER):
            mels = self._flow.mels(
                [self._tokens.between(*span) for span in spans],
                self._prompt,
                [self._noise_of(*span) for span in spans],
                flow_steps=self._flow_steps,
            )
        return [
            self._cropped(mel, window, start)
            for mel, window, (start, _) in zip(mels, windows, spans, strict=True)
        ]

    def _with_context(self, window: Window) -> tuple[int, int]:
        """What is given to the flow: more on the left where that makes whole seconds of it.

        Windows differ by a step from each other; so they come to one length, and fit together.
        """
        end = min(self.steps, window.end + RIGHT_CONTEXT_STEPS)
        length = end - max(0, window.start - LEFT_CONTEXT_STEPS)
        return max(0, end - math.ceil(length / STEPS_PER_S) * STEPS_PER_S), end

    def _cropped(self, mel: Tensor, window: Window, start: int) -> Signal:
        frames = mel[:, _mels(window.start - start) : _mels(window.end - start)]
        made = frames.T.contiguous().cpu().numpy().reshape(-1)
        return check_signal(made, where="mel", error=EngineError)

    def _noise_of(self, start: int, end: int) -> Tensor:
        own = self._noise[:, self._prompt_mels :][:, _mels(start) : _mels(end)]
        return torch.cat([self._noise[:, : self._prompt_mels], own], dim=1)

    def joiner(self, write: Callable[[Signal], object]) -> _MelJoiner:
        return _MelJoiner(self._s3gen, self._then, write)


class _MelJoiner:
    """Joins windows as mel, fading one into the next over their overlap, and vocodes on the way."""

    def __init__(self, s3gen: Any, random: RandomState, write: Callable[[Signal], object]) -> None:
        self.samples = 0
        self._sink = write
        self._random = random
        self._device = s3gen.device
        self._vocoder = Vocoder(s3gen, self._count)
        self._tail = np.zeros((0, MELS), np.float32)
        self._seams: list[int] = []

    def add(self, window: Window, made: Signal) -> None:
        mel = made.reshape(-1, MELS)
        shared = len(self._tail)
        if shared:
            weight = ((np.arange(shared) + 0.5) / shared).astype(np.float32)[:, None]
            mel = np.concatenate([(1 - weight) * self._tail + weight * mel[:shared], mel[shared:]])
            self._seams.append(
                _mels(window.start) * SAMPLES_PER_MEL + shared * SAMPLES_PER_MEL // 2
            )
        keep = 0 if window.last else _mels(window.overlap)
        self._tail = mel[len(mel) - keep :]
        frames = torch.from_numpy(mel[: len(mel) - keep].T.copy()).to(self._device)
        with self._random.resumed(), torch.inference_mode(), memory_told(_WINDOW, _SMALLER):
            self._vocoder.add(frames, last=window.last)

    def finish(self) -> tuple[int, ...]:
        return tuple(self._seams)

    def _count(self, block: Signal) -> None:
        self.samples += len(block)
        self._sink(block)


def _mels(steps: int) -> int:
    return steps * MELS_PER_TOKEN


_WINDOW = "one window"
_SMALLER = "choose a smaller window_s, a shorter prompt_s, or device: cpu"
