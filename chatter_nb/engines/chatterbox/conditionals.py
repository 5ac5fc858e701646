"""A voice as Chatterbox takes it: encoded from a recording once, kept in memory and on disk.

The steps are upstream's `prepare_conditionals` and `set_target_voice`, so the same recording gives
the same tensors. They are passed on every call, never stored in a model.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pyloudnorm
import torch
from chatterbox.models.s3gen import S3GEN_SR
from chatterbox.models.s3tokenizer import S3_SR
from chatterbox.models.t3.modules.cond_enc import T3Cond

from chatter_nb.base.disk import write_whole
from chatter_nb.base.errors import InputError, OutputError, ParamError
from chatter_nb.engines.base import Voice
from chatter_nb.engines.chatterbox.device import memory_explained, quiet_upstream, s3gen_turn
from chatter_nb.engines.chatterbox.loading import load_tensors, readable
from chatter_nb.engines.voices import Library, Recording, content_hash

DECODER_PROMPT_S = 10  # of the recording, for S3Gen: upstream's DEC_COND_LEN
BUILT_IN = "built-in"
SPEAKER_SIZE = 256
_TURBO_LUFS = -27.0


@dataclass(frozen=True)
class Conditionals:
    """A voice as tensors on the CPU; treated as constant. `t3` is None for conversion."""

    t3: dict[str, Any] | None
    gen: dict[str, Any]

    def for_t3(self, exaggeration: float, device: str) -> T3Cond:
        """A new object on each call, because T3 writes its embeddings into it."""
        t3 = self.t3 or {}
        cond = T3Cond(
            speaker_emb=t3["speaker_emb"],
            cond_prompt_speech_tokens=t3["cond_prompt_speech_tokens"],
            emotion_adv=exaggeration * torch.ones(1, 1, 1),
        )
        return cond.to(device=device)

    def for_s3gen(self, device: str, prompt_s: float | None = None) -> dict[str, Any]:
        """A new dict on each call, because S3Gen casts its values. `prompt_s` shortens it."""
        gen = {k: v.to(device) if torch.is_tensor(v) else v for k, v in self.gen.items()}
        if prompt_s is not None:
            tokens = min(max(1, round(prompt_s * 25)), gen["prompt_token"].shape[-1])
            gen["prompt_token"] = gen["prompt_token"][..., :tokens]
            gen["prompt_token_len"] = torch.full_like(gen["prompt_token_len"], tokens)
            gen["prompt_feat"] = gen["prompt_feat"][:, : 2 * tokens]
        return gen


class VoiceShelf:
    """The voices of one model, each encoded once and kept by content in memory and on disk.

    `version` names the model, because another model cannot use its conditionals. Recordings
    shorter than `min_s` are refused; their first `heard_s` seconds are checked.
    """

    def __init__(
        self,
        folder: Path,
        version: str,
        encode: Callable[[Recording], Conditionals],
        *,
        min_s: float,
        heard_s: float,
    ) -> None:
        self._built_in = folder / "conds.pt"
        self._version = version
        self._encode = encode
        self._min_s, self._heard_s = min_s, heard_s
        self._encoded: dict[str, Conditionals] = {}

    def voice(self, voice: str, library: Library) -> Voice:
        """A voice ready to speak; an empty `voice` is the checkpoint's own."""
        if not voice:
            return self._built_in_voice()
        recording = library.recording(voice, min_s=self._min_s, heard_s=self._heard_s)
        key = recording.content_hash
        if key not in self._encoded:
            self._encoded[key] = self._from_disk(recording, library.cache)
        return Voice(recording.name, key, self._encoded[key], recording.notes)

    def _built_in_voice(self) -> Voice:
        if BUILT_IN not in self._encoded:
            if not self._built_in.exists():
                raise ParamError(
                    f"the checkpoint has no voice of its own ({self._built_in} is missing): "
                    "name a recording"
                )
            self._encoded[BUILT_IN] = _conditionals(self._built_in)
        return Voice(BUILT_IN, content_hash(self._built_in), self._encoded[BUILT_IN])

    def _from_disk(self, recording: Recording, cache: Path) -> Conditionals:
        name = hashlib.blake2b(f"{self._version} {recording.content_hash}".encode(), digest_size=16)
        path = cache / f"{name.hexdigest()}.pt"
        if path.exists():
            with suppress(InputError):  # a damaged file is made again
                return _conditionals(path)
        cure = "choose device: cpu for this run: what it encodes is kept"
        with quiet_upstream(), memory_explained("the voice", cure):
            conditionals = self._encode(recording)
        content = io.BytesIO()
        torch.save({"t3": conditionals.t3, "gen": conditionals.gen}, content)
        with suppress(OSError, OutputError):  # then it is encoded again next time
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content.getvalue())
        return conditionals


def _conditionals(path: Path) -> Conditionals:
    """The conditionals in a file, upstream's or ours. Raises `InputError` for another file."""
    tensors = load_tensors(path)
    with readable(path):
        t3, gen = tensors["t3"], tensors["gen"]
        tokens, mels = gen["prompt_token"].shape[-1], gen["prompt_feat"].shape
        if t3 is not None and t3["speaker_emb"].numel() != SPEAKER_SIZE:
            raise ValueError(f"a speaker embedding of shape {tuple(t3['speaker_emb'].shape)}")
        # Upstream keeps an odd mel frame at the end.
        if mels[2] != 80 or mels[1] - 2 * tokens not in (0, 1):
            raise ValueError(f"a prompt of {tokens} tokens and mels of shape {tuple(mels)}")
    return Conditionals(t3, gen)


def encode_for_s3gen(recording: Recording, s3gen: Any, device: str) -> dict[str, Any]:
    """The prompt of S3Gen: tokens, mel frames and a speaker vector."""
    return _embed(_at_24k(recording), s3gen, device)


def encode_for_speech(
    recording: Recording,
    s3gen: Any,
    voice_encoder: Any,
    device: str,
    *,
    prompt_tokens: int,
    prompt_s: float,
    normalise: bool = False,
) -> Conditionals:
    """What T3 and S3Gen need of a voice; `normalise` brings it to −27 LUFS first (Turbo)."""
    wave_24k = _at_24k(recording)
    if normalise:
        wave_24k = _to_loudness(wave_24k, _TURBO_LUFS)
    wave_16k = librosa.resample(wave_24k, orig_sr=S3GEN_SR, target_sr=S3_SR)
    gen = _embed(wave_24k, s3gen, device)
    with torch.inference_mode(), s3gen_turn(device):
        tokens, _ = s3gen.tokenizer.forward(
            [wave_16k[: round(prompt_s * S3_SR)]], max_len=prompt_tokens
        )
        speaker = torch.from_numpy(voice_encoder.embeds_from_wavs([wave_16k], sample_rate=S3_SR))
    t3 = {
        "speaker_emb": speaker.mean(dim=0, keepdim=True),
        "cond_prompt_speech_tokens": torch.atleast_2d(tokens),
    }
    return Conditionals(_plain(t3), gen)


def _at_24k(recording: Recording) -> np.ndarray:
    """The samples at 24 kHz, resampled as upstream's `librosa.load(sr=24000)` does."""
    if recording.sample_rate == S3GEN_SR:
        return recording.signal
    return librosa.resample(recording.signal, orig_sr=recording.sample_rate, target_sr=S3GEN_SR)


def _embed(wave_24k: np.ndarray, s3gen: Any, device: str) -> dict[str, Any]:
    with torch.inference_mode(), s3gen_turn(device):
        prompt = wave_24k[: DECODER_PROMPT_S * S3GEN_SR]
        return _plain(s3gen.embed_ref(prompt, S3GEN_SR, device=device))


def _plain(tensors: dict[str, Any]) -> dict[str, Any]:
    """Ordinary tensors on the CPU: inference tensors could not be changed later."""
    return {k: v.detach().cpu().clone() if torch.is_tensor(v) else v for k, v in tensors.items()}


def _to_loudness(wave: np.ndarray, target_lufs: float) -> np.ndarray:
    loudness = float(pyloudnorm.Meter(S3GEN_SR).integrated_loudness(wave))
    gain = 10.0 ** ((target_lufs - loudness) / 20.0)  # no numpy scalar: it would make wave float64
    return wave * gain if math.isfinite(gain) and gain > 0 else wave
