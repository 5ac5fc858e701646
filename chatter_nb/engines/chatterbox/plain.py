"""The plain way from requests to samples: upstream's own loops, one chunk a call.

The fast way is compared with it (`engine_path: upstream`). A call leaves nothing behind in
upstream's modules.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from chatterbox.models.s3gen import S3GEN_SR
from chatterbox.models.s3tokenizer import SPEECH_VOCAB_SIZE
from chatterbox.models.t3.modules.cond_enc import T3Cond
from torch import Tensor

from chatter_nb.audio.reading import Signal, check_signal
from chatter_nb.base.errors import EngineError, located
from chatter_nb.engines.base import ChunkInfo, ChunkRequest
from chatter_nb.engines.chatterbox.device import (
    S3GEN_LOCK,
    memory_explained,
    quiet_upstream,
    seeded,
)
from chatter_nb.engines.chatterbox.splitting import say_or_split
from chatter_nb.engines.chatterbox.tokens import (
    KEPT,
    SMALLER,
    Adapter,
    Decoded,
    Prompt,
    Sampling,
    SpokenChunk,
    alignment_note,
    flow_steps,
    where,
)


class PlainPath:
    """Calls upstream's own T3 and S3Gen chunk by chunk, as `adapter` prepares each request."""

    def __init__(self, adapter: Adapter, t3: Any) -> None:
        self._adapter, self._t3 = adapter, t3

    def synthesize(self, requests: Sequence[ChunkRequest]) -> Iterator[SpokenChunk]:
        """See `SpeechEngine.synthesize`: the samples are those of upstream's `generate`."""
        for request in requests:
            with located(where(request), KEPT):
                audio, info = self._speak(request)
            yield request.index, audio, info

    def _speak(self, request: ChunkRequest) -> tuple[Signal, ChunkInfo]:
        tokens_s = 0.0
        notes: list[str] = []

        def say(text: str, seed: int) -> Signal | None:
            nonlocal tokens_s
            prompt = self._adapter.prompt(text, seed, request)
            with seeded(seed), quiet_upstream(), memory_explained("one chunk", SMALLER):
                start_s = time.perf_counter()
                decoded = decode(
                    self._t3, self._adapter.cond(request), prompt, self._adapter.sampling(request)
                )
                tokens_s += time.perf_counter() - start_s
                if not decoded.usable:
                    return None
                notes.extend(decoded.notes(text))
                return self._wave(decoded.tokens, request)

        audio, info = say_or_split(
            request.text, request.seed, say, sample_rate=S3GEN_SR, language=request.language
        )
        return audio, replace(info, notes=tuple(notes), stages_s={"tokens": tokens_s})

    def _wave(self, tokens: Tensor, request: ChunkRequest) -> Signal:
        with torch.inference_mode(), S3GEN_LOCK:
            wave, _ = self._adapter.synthesizer(request).s3gen.inference(
                speech_tokens=self._adapter.with_end(tokens),
                ref_dict=self._adapter.decoder_prompt(request),
                n_cfm_timesteps=flow_steps(request),
            )
        audio = wave.squeeze(0).cpu().numpy()
        return check_signal(audio, where=self._adapter.name, error=EngineError)


def decode(t3: Any, cond: T3Cond, prompt: Prompt, sampling: Sampling) -> Decoded:
    """The tokens of a chunk by upstream's loop, drawn from the global generator."""
    with torch.inference_mode():
        return (_decode_turbo if t3.is_gpt else _decode_llama)(t3, cond, prompt, sampling)


def _decode_llama(t3: Any, cond: T3Cond, prompt: Prompt, sampling: Sampling) -> Decoded:
    """Decode with English or Multilingual.

    The text goes in twice with any `cfg_weight`: upstream's English model always doubles its start
    token, and fails with a single row even at a weight of 0, where the second row has no effect.
    """
    text = prompt.text_tokens.to(t3.device)
    pair = F.pad(torch.cat([text, text], dim=0), (1, 0), value=t3.hp.start_text_token)
    pair = F.pad(pair, (0, 1), value=t3.hp.stop_text_token)
    with _hooks_contained(t3):
        tokens = t3.inference(
            t3_cond=cond,
            text_tokens=pair,
            max_new_tokens=prompt.max_new_tokens,
            cfg_weight=sampling.cfg_weight,
            repetition_penalty=sampling.repetition_penalty,
            temperature=sampling.temperature,
            min_p=sampling.min_p,
            top_p=sampling.top_p,
        )[0]
        note = _doubt(t3.patched_model.alignment_stream_analyzer)
    ended = bool(tokens[-1] == t3.hp.stop_speech_token)
    starts = (tokens == t3.hp.start_speech_token).nonzero()
    # A second start token: upstream drops what was said before it. Here that has not ended well.
    valid = tokens[tokens < SPEECH_VOCAB_SIZE]
    return Decoded(tokens=valid, ended=ended and not len(starts), note=note)


def _decode_turbo(t3: Any, cond: T3Cond, prompt: Prompt, sampling: Sampling) -> Decoded:
    """Decode with Turbo, which makes a token more than `max_new_tokens`."""
    tokens = t3.inference_turbo(
        t3_cond=cond,
        text_tokens=prompt.text_tokens.to(t3.device),
        max_gen_len=prompt.max_new_tokens,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        repetition_penalty=sampling.repetition_penalty,
    )[0]
    # Upstream removes the end token; without an end token the list has its full length.
    ended = len(tokens) <= prompt.max_new_tokens
    return Decoded(tokens=tokens[tokens < SPEECH_VOCAB_SIZE], ended=ended)


def _doubt(analyzer: Any) -> str:
    """A note if upstream's alignment check forced the end in mid-text, for a repeated token."""
    if analyzer is None or analyzer.complete or len(analyzer.generated_tokens) < 3:
        return ""
    if len(set(analyzer.generated_tokens[-2:])) > 1:
        return ""
    share = float(analyzer.text_position) / max(1, analyzer.alignment.shape[1])
    return alignment_note(share)


@contextmanager
def _hooks_contained(t3: Any) -> Iterator[None]:
    """Undo what upstream's alignment analyzer leaves on the model: hooks and slow attention.

    Otherwise every later call would copy its attention maps to the CPU for each earlier call.
    """
    config = t3.tfmr.config
    names = ("output_attentions", "_attn_implementation")
    before = {name: getattr(config, name, None) for name in names}
    layers = [layer.self_attn for layer in t3.tfmr.layers]
    hooks = [set(layer._forward_hooks) for layer in layers]
    try:
        yield
    finally:
        t3.patched_model = None  # it holds the analyzer, and the whole model a second time
        for layer, known in zip(layers, hooks, strict=True):
            for key in set(layer._forward_hooks) - known:
                del layer._forward_hooks[key]
        for name, value in before.items():
            setattr(config, name, value)
