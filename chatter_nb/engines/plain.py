"""Text tokens to speech tokens as upstream makes them: its own loop, one chunk a call.

What the fast path (`t3`) is compared with. Called so that it leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from chatterbox.models.s3tokenizer import SPEECH_VOCAB_SIZE
from chatterbox.models.t3.modules.cond_enc import T3Cond
from torch import Tensor

from chatter_nb.engines.tokens import Decoded, alignment_note


def decode_llama(
    t3: Any, cond: T3Cond, text_tokens: Tensor, *, max_new_tokens: int, **sampling: float
) -> Decoded:
    """English and Multilingual. `text_tokens` has shape (1, n), without start and stop.

    The text goes in twice whatever `cfg_weight` is: upstream's English model doubles its start
    token always, and fails with one row at a weight of 0, where the second counts for nothing.
    """
    pair = torch.cat([text_tokens, text_tokens], dim=0)
    pair = F.pad(pair, (1, 0), value=t3.hp.start_text_token)
    pair = F.pad(pair, (0, 1), value=t3.hp.stop_text_token)
    with torch.inference_mode(), _hooks_contained(t3):
        tokens = t3.inference(
            t3_cond=cond, text_tokens=pair, max_new_tokens=max_new_tokens, **sampling
        )[0]
        note = _doubt(t3.patched_model.alignment_stream_analyzer)
    ended = bool(tokens[-1] == t3.hp.stop_speech_token)
    starts = (tokens == t3.hp.start_speech_token).nonzero()
    # A second start token: upstream drops what was said before it. Here that has not ended well.
    return Decoded(tokens[tokens < SPEECH_VOCAB_SIZE], ended and not len(starts), note)


def decode_turbo(
    t3: Any, cond: T3Cond, text_tokens: Tensor, *, max_new_tokens: int, **sampling: float
) -> Decoded:
    """Turbo. `text_tokens` has shape (1, n). It makes one token more than `max_new_tokens`."""
    with torch.inference_mode():
        tokens = t3.inference_turbo(
            t3_cond=cond, text_tokens=text_tokens, max_gen_len=max_new_tokens, **sampling
        )[0]
    # Upstream takes the end token off; one that never came leaves the list at its full length.
    return Decoded(tokens[tokens < SPEECH_VOCAB_SIZE], len(tokens) <= max_new_tokens)


def _doubt(analyzer: Any) -> str:
    """Whether 0.1.7's alignment check forced the end, for a token said twice, in mid-text."""
    if analyzer is None or analyzer.complete or len(analyzer.generated_tokens) < 3:
        return ""
    if len(set(analyzer.generated_tokens[-2:])) > 1:
        return ""
    share = float(analyzer.text_position) / max(1, analyzer.alignment.shape[1])
    return alignment_note(share)


@contextmanager
def _hooks_contained(t3: Any) -> Iterator[None]:
    """Undo what 0.1.7's alignment analyzer leaves on the model: three hooks a call, slow attention.

    Every later call would also copy its attention maps to the CPU for the dead analyzers.
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
