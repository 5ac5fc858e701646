"""Random weights with which upstream's networks end chunks, make sound, and react to the text.

Every network keeps its signal near unit variance, so any size of it works. T3 carries three
channels of its residual stream unchanged from the embeddings to the row of the end token: they end
a chunk after a chosen number of tokens. Nothing here is speech.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

State = dict[str, "Tensor"]

START_SPEECH, STOP_SPEECH = 6561, 6562

# Channels of T3's residual stream that no layer writes to, counted from the last one.
RAMP, CONSTANT, STOP_TEXT = -1, -2, -3

# The chance to end grows by this much a token, in logits after temperature 0.8: with random
# speech tokens otherwise, chunk lengths then spread by about 10 tokens around their mean.
RAMP_PER_TOKEN = 0.12
RAMP_WIDTH_TOKENS = 60

# Heads that upstream's alignment analyzer watches, as (layer, head); it forbids the end until they
# look at the end of the text (t3/inference/alignment_stream_analyzer.py:13).
ALIGNED_HEADS = ((12, 15), (13, 11), (9, 2))

# Factors on a unit-variance weight, by the first pattern that occurs in its name.
T3_GAINS = (
    (r"(text|speech)(_pos)?_emb|wpe|pre_attention_query", 0.7),
    (r"q_proj", 2.0),  # attention that chooses, so that the text matters
    (r"c_attn", 1.4),  # the same for GPT-2, where one layer makes queries and keys
    (r"speech_head", 0.8),
)
S3GEN_GAINS = (
    (r"tokenizer.encoder.conv1", 4.0),  # so that a recording's tokens differ
    (r"resblocks", 0.3),
    (r"conv_post", 0.4),
    (r"f0_predictor\.classifier", 30.0),  # Hz around PITCH_HZ
    (r"final_proj", 1.5),
)
PITCH_HZ = 150.0
LOG_MAGNITUDE = 1.0  # of the vocoder's spectrum: sets the loudness


def random_state(module: nn.Module, seed: int, gains: Iterable[tuple[str, float]] = ()) -> State:
    """New values for a module, which may have been built on the meta device.

    Norms and batch statistics are neutral, biases zero. Other weights are normal; their standard
    deviation is their gain times one over the square root of the fan-in.
    """
    generator = torch.Generator().manual_seed(seed)
    kinds = {name: type(part).__name__ for name, part in module.named_modules()}
    state: State = {}
    for key, like in module.state_dict().items():
        owner, _, leaf = key.rpartition(".")
        if leaf == "_mel_filters":  # computed by its constructor, on the CPU whatever the device
            state[key] = like.clone()
        elif leaf == "window":
            state[key] = torch.hann_window(len(like))
        elif "norm" in kinds[owner].lower() or leaf == "alpha":
            neutral = 1 if leaf in ("weight", "running_var", "alpha") else 0
            state[key] = torch.full(like.shape, neutral, dtype=like.dtype)
        elif "bias" in leaf and like.ndim < 2:
            state[key] = torch.zeros(like.shape)
        else:
            gain = next((gain for pattern, gain in gains if re.search(pattern, key)), 1.0)
            std = gain / math.sqrt(_fan_in(kinds[owner], like))
            state[key] = torch.empty(like.shape).normal_(0, std, generator=generator)
    _match_weight_norms(state)
    return state


def _fan_in(kind: str, weight: Tensor) -> int:
    if kind in ("Embedding", "Perceiver") or weight.ndim < 2:
        return 1
    if kind in ("Conv1D", "ConvTranspose1d"):  # GPT-2's linear layer is stored transposed
        return weight.shape[0]
    return weight[0].numel()


def _match_weight_norms(state: State) -> None:
    """Give weight-normalised layers the norms of the weights drawn for them."""
    for key in [key for key in state if key.endswith("weight.original0")]:
        direction = state[key.replace("original0", "original1")]
        state[key] = direction.flatten(1).norm(dim=1).reshape(state[key].shape)


def llama_state(t3: Any, seed: int, *, mean_tokens: int, ends: bool) -> State:
    """T3 as in the English and multilingual models."""
    layers = len(t3.tfmr.layers)
    residual = 1 / math.sqrt(layers)  # so that all layers together add about as much as one
    state = random_state(t3, seed, (*T3_GAINS, (r"o_proj|down_proj", residual)))
    dedicated = [RAMP, CONSTANT, STOP_TEXT]
    for key, value in state.items():
        if re.search(r"o_proj|down_proj|cond_enc\.(spkr_enc|emotion)|attn\.proj_out", key):
            value[dedicated] = 0  # rows: outputs
        elif re.search(r"(text|speech)(_pos)?_emb|pre_attention_query|speech_head", key):
            value[..., dedicated] = 0
    position = state["speech_pos_emb.emb.weight"]
    position[:, CONSTANT] = 1
    position[:, RAMP] = _ramp(len(position), mean_tokens)
    _shape_llama_head(state["speech_head.weight"], ends)
    if ends and t3.hp.is_multilingual:
        state["text_emb.weight"][t3.hp.stop_text_token, STOP_TEXT] = 4
        _align_heads(state, t3.cfg.head_dim)
    return state


def _ramp(positions: int, mean_tokens: int) -> Tensor:
    """0 at `mean_tokens`, 1 after `RAMP_WIDTH_TOKENS` more; constant outside, to stay bounded."""
    return ((torch.arange(positions) - mean_tokens) / RAMP_WIDTH_TOKENS).clamp(-1.5, 1.5)


def _shape_llama_head(head: Tensor, ends: bool) -> None:
    """Forbid all but speech tokens, and let the end's logit follow the ramp."""
    head[START_SPEECH:, CONSTANT] = -40
    if ends:
        head[STOP_SPEECH] = 0
        head[STOP_SPEECH, RAMP] = RAMP_PER_TOKEN * 0.8 * RAMP_WIDTH_TOKENS
        # The others' log-sum-exp is about ln 6561 after temperature; a little less ends half of
        # the chunks before the mean and half after it.
        head[STOP_SPEECH, CONSTANT] = 0.8 * (math.log(START_SPEECH) - 2.9)


def _align_heads(state: State, head_dim: int) -> None:
    """Turn the watched heads to the text's end token once the ramp is near its zero.

    The score uses the slowest pair of rotary dimensions, which hardly turn within a chunk.
    """
    for layer, head in ALIGNED_HEADS:
        row = head * head_dim + head_dim // 2 - 1
        query = state[f"tfmr.layers.{layer}.self_attn.q_proj.weight"]
        key = state[f"tfmr.layers.{layer}.self_attn.k_proj.weight"]
        query[row] = 0
        query[row, RAMP], query[row, CONSTANT] = 40, 10
        key[row] = 0
        key[row, STOP_TEXT] = 2 * math.sqrt(head_dim)


# GPT-2 has no speech positions, so Turbo's T3 counts: of the channels that no layer writes to
# otherwise, LEVEL and its negative are large everywhere and so fix the layer norms' scale and mean,
# FIRST marks the start token, SPEECH all tokens from there on (layer 0 writes it), and SHARE is
# one over their number (layer 1). ZERO stays nothing: differences to it cancel what mean is left.
COUNTING = LEVEL, MINUS_LEVEL, FIRST, SPEECH, SHARE, ZERO = -1, -2, -3, -4, -5, -6
LEVEL_TO_REST = 10.0
COUNTING_SCORE = 10.0  # e^-10 of a vote for each of the 500 positions that are not counted


def gpt2_state(t3: Any, seed: int, *, mean_tokens: int, ends: bool) -> State:
    """T3 as in the Turbo model."""
    width, head_dim = t3.cfg.n_embd, t3.cfg.n_embd // t3.cfg.n_head
    residual = 1 / math.sqrt(t3.cfg.n_layer)
    state = random_state(t3, seed, ((r"c_proj", residual), (r"speech_head", 0.5), *T3_GAINS))
    dedicated = list(COUNTING)
    for key, value in state.items():
        if key.endswith(("c_attn.weight", "c_fc.weight", "spkr_enc.weight")):
            value[dedicated] = 0  # rows: the inputs of the first two, the outputs of the last
        elif re.search(r"_emb|wpe|speech_head.weight|c_proj.weight", key):
            value[..., dedicated] = 0
        elif re.search(r"ln_\w+\.weight", key):
            value.fill_(math.hypot(1, LEVEL_TO_REST))  # undoes what LEVEL does to the others
    level = LEVEL_TO_REST * math.sqrt(width / 2)
    state["tfmr.wpe.weight"][:, [LEVEL, MINUS_LEVEL]] = torch.tensor([level, -level])
    state["speech_emb.weight"][START_SPEECH, FIRST] = 1
    _look_for(state, 0, head_dim, key=FIRST, write=SPEECH)
    _look_for(state, 1, head_dim, key=SPEECH, write=SHARE)
    _shape_gpt2_head(state, mean_tokens, ends)
    return state


def _look_for(state: State, layer: int, head_dim: int, *, key: int, write: int) -> None:
    """Make the layer's first head write FIRST, averaged over the positions that have `key`."""
    joint = state[f"tfmr.h.{layer}.attn.c_attn.weight"]  # inputs × (queries, keys, values)
    width = len(joint)
    for start in (0, width, 2 * width):
        joint[:, start : start + head_dim] = 0
    state[f"tfmr.h.{layer}.attn.c_attn.bias"][0] = COUNTING_SCORE * math.sqrt(head_dim)
    joint[key, width], joint[ZERO, width] = 1, -1
    joint[FIRST, 2 * width], joint[ZERO, 2 * width] = 1, -1
    out = state[f"tfmr.h.{layer}.attn.c_proj.weight"]
    out[:head_dim] = 0
    out[0, write] = 1


def _shape_gpt2_head(state: State, mean_tokens: int, ends: bool) -> None:
    """Let the end's logit rise as SHARE falls, at the mean length as fast as a Llama model's."""
    head, bias = state["speech_head.weight"], state["speech_head.bias"]
    bias[START_SPEECH:] = -40
    if ends:
        steepness = RAMP_PER_TOKEN * 0.8 * (mean_tokens + 1) ** 2
        head[STOP_SPEECH] = 0
        head[STOP_SPEECH, SHARE], head[STOP_SPEECH, ZERO] = -steepness, steepness
        level = 0.8 * (math.log(START_SPEECH) - 3.4)
        bias[STOP_SPEECH] = level + steepness / (mean_tokens + 1)


def s3gen_state(s3gen: Any, seed: int) -> State:
    """S3Gen that makes of every token a hum with noise, neither silent nor clipped."""
    state = random_state(s3gen, seed, S3GEN_GAINS)
    # Blind to the overall level: it is large, the same all through, and would hide the rest.
    ear = state["tokenizer.encoder.conv1.weight"]
    ear -= ear.mean(dim=(1, 2), keepdim=True)
    state["mel2wav.f0_predictor.classifier.bias"].fill_(PITCH_HZ)
    magnitudes = s3gen.mel2wav.istft_params["n_fft"] // 2 + 1
    state["mel2wav.conv_post.bias"][:magnitudes] = LOG_MAGNITUDE
    return state
