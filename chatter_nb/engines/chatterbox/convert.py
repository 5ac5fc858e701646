"""Chatterbox' voice conversion: the words and timing of a recording in a target's voice.

The whole recording is tokenised once. Windows of tokens become mel, with context on both sides and
noise that depends on the absolute frame. The windows are joined as mel, and vocoded without a seam.
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
from chatter_nb.engines.base import Voice, WindowJoiner
from chatter_nb.engines.chatterbox.conditionals import (
    DECODER_PROMPT_S,
    Conditionals,
    VoiceShelf,
    encode_for_s3gen,
)
from chatter_nb.engines.chatterbox.device import memory_explained, s3gen_turn
from chatter_nb.engines.chatterbox.flow import (
    FLOW_STEPS,
    MELS,
    MELS_PER_TOKEN,
    Flow,
    VoicePrompt,
    device_of,
)
from chatter_nb.engines.chatterbox.loading import load_s3gen
from chatter_nb.engines.chatterbox.s3gen import SpeechTokens, token_count
from chatter_nb.engines.chatterbox.vocoder import SAMPLES_PER_MEL, Vocoder
from chatter_nb.engines.checkpoints import PACKAGE, identity, locate
from chatter_nb.engines.gpu import is_small_gpu, voice_device
from chatter_nb.engines.recordings import MIN_S
from chatter_nb.engines.registry import VC_ENGINES
from chatter_nb.engines.watermark import load_perth

if TYPE_CHECKING:
    from chatter_nb.engines.voices import Library, Recording

REVISION = 2  # of how windows are made here: with another revision, kept windows are made anew
LEFT_CONTEXT_STEPS = 2 * STEPS_PER_S
RIGHT_CONTEXT_STEPS = STEPS_PER_S // 2 + 3  # half a second, and the encoder's look-ahead
# Seconds of work a second of audio on 2 cores, random full weights, windows of 10 s. No GPU has
# been measured.
_CPU_RTF = 6.0


class ChatterboxConverter:
    """`ConvertEngine` over upstream's S3Gen, which it shares with the English speech engine."""

    name = "chatterbox"
    sample_rate = S3GEN_SR
    source_rate = S3_SR
    accepts = VC_ENGINES[name].accepts
    precision = "exact"
    watermarked = True
    min_voice_s: float | None = MIN_S
    needs_voice = False

    def __init__(self, *, device: str = "cpu", checkpoint: str = "") -> None:
        folder = locate("chatterbox-vc", checkpoint)
        self.device = device
        # A CPU gains nothing from company.
        self.rows = 4 if device.startswith("cuda") and not is_small_gpu(device) else 1
        self.typical_rtf = _CPU_RTF if device == "cpu" else None
        files_hash = identity(folder, "chatterbox-vc")
        self.version = f"{version(PACKAGE)}+{files_hash}+r{REVISION}"
        self._perth = load_perth(device)  # held, so that each output of a run finds it loaded
        self._s3gen = load_s3gen(folder, "s3gen.safetensors", device)
        self._flow = Flow(self._s3gen)
        self._voices = VoiceShelf(
            folder, f"vc {self.version}", self._encode, min_s=MIN_S, heard_s=DECODER_PROMPT_S
        )

    def prepare_voice(self, voice: str, library: Library) -> Voice:
        """The target's prompt; an empty `voice` is the checkpoint's own."""
        return self._voices.voice(voice, library)

    def steps(self, samples: int) -> int:
        """The number of speech tokens; part of the last token may be silence."""
        return token_count(samples // S3_HOP)

    def begin(
        self, source: Signal, voice: Voice, *, seed: int, knobs: Mapping[str, float | int]
    ) -> _Conversion:
        flow_steps = int(knobs.get("n_cfm_timesteps", FLOW_STEPS))
        cure = "convert it in parts, or choose device: cpu"
        with memory_explained("the recording's tokens", cure), s3gen_turn(self.device):
            prompt = voice.data.for_s3gen(self.device, knobs.get("prompt_s"))
            return _Conversion(self._s3gen, self._flow, source, prompt, seed, flow_steps)

    def _encode(self, recording: Recording) -> Conditionals:
        return Conditionals(
            None, encode_for_s3gen(recording, self._s3gen, voice_device(self.device))
        )


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
        # Upstream's vocoder draws on after the flow's noise.
        self._generator = torch.Generator(flow.device).manual_seed(seed)
        shape = (1, MELS, self._prompt.frames(self.steps))
        self._noise = torch.randn(shape, generator=self._generator, device=flow.device)[0]

    def shape(self, window: Window) -> int:
        """Its number of steps with context: rows of other lengths would need padding."""
        start, end = self._with_context(window)
        return end - start

    def convert(self, windows: Sequence[Window]) -> list[Signal]:
        """The mel of each window, flat, frame after frame: shape (2 · steps · 80,)."""
        spans = [self._with_context(window) for window in windows]
        what = f"{len(windows)} windows together" if len(windows) > 1 else _WINDOW
        turn = s3gen_turn(self._flow.device)
        with torch.inference_mode(), memory_explained(what, _SMALLER), turn:
            mels = self._flow.mels(
                [self._tokens.between(*span) for span in spans],
                self._prompt,
                [noise_of(span, self._noise, self._prompt) for span in spans],
                flow_steps=self._flow_steps,
            )
        cropped = map(cropped_mel, mels, windows, [start for start, _ in spans])
        return [check_signal(mel, where="mel", error=EngineError) for mel in cropped]

    def _with_context(self, window: Window) -> tuple[int, int]:
        """The first step and the end of a window with context, for the flow.

        The context on the left is extended to make whole seconds. Windows differ in length by a
        step; with whole seconds most have the same length and can be converted together.
        """
        end = min(self.steps, window.end + RIGHT_CONTEXT_STEPS)
        length = end - max(0, window.start - LEFT_CONTEXT_STEPS)
        return max(0, end - math.ceil(length / STEPS_PER_S) * STEPS_PER_S), end

    def joiner(self, write: Callable[[Signal], object]) -> MelJoiner:
        return MelJoiner(self._s3gen, self._generator, write)


class MelJoiner(WindowJoiner):
    """Joins windows as mel, with a crossfade over their overlap, and vocodes them."""

    def __init__(
        self, s3gen: Any, generator: torch.Generator, write: Callable[[Signal], object]
    ) -> None:
        super().__init__(write)
        self._device = device_of(s3gen)
        self._vocoder = Vocoder(s3gen, generator, self._pass_on)
        self._tail = np.zeros((0, MELS), np.float32)

    def add(self, window: Window, audio: Signal) -> None:
        mel = audio.reshape(-1, MELS)
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
        turn = s3gen_turn(self._device)
        with torch.inference_mode(), memory_explained(_WINDOW, _SMALLER), turn:
            self._vocoder.add(frames, last=window.last)


def cropped_mel(mel: Tensor, window: Window, start: int) -> Signal:
    """A window's own mel, flat, frame after frame, of `mel` (80, n), which begins at `start`."""
    frames = mel[:, _mels(window.start - start) : _mels(window.end - start)]
    return frames.T.contiguous().cpu().numpy().reshape(-1)


def noise_of(steps: tuple[int, int], noise: Tensor, prompt: VoicePrompt) -> Tensor:
    """Of the noise (80, n) of prompt and speech, that of the prompt and of the steps [a, b)."""
    known, (start, end) = prompt.frames(0), map(_mels, steps)
    return torch.cat([noise[:, :known], noise[:, known + start : known + end]], dim=1)


def _mels(steps: int) -> int:
    return steps * MELS_PER_TOKEN


_WINDOW = "one window"
_SMALLER = "choose a smaller window_s, a shorter prompt_s, or device: cpu"
