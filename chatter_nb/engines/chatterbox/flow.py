"""Speech tokens to mel frames: upstream's flow and its weights, for rows of different lengths.

The steps are those of upstream's `CausalMaskedDiffWithXvec.inference`. Masks and time embeddings,
which upstream makes again at every layer, are made once, from lengths that the host knows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chatter_nb.engines.chatterbox.estimator import Conv, Estimator, joined
from chatter_nb.engines.chatterbox.packing import Weight
from chatter_nb.engines.gpu import is_small_gpu

MELS = 80
MELS_PER_TOKEN = 2  # 50 a second
FLOW_STEPS = 10  # upstream's default
MEANFLOW_STEPS = 2  # … for a distilled decoder, which needs no guidance either


@dataclass(frozen=True)
class VoicePrompt:
    """A voice as the flow takes it, on its device."""

    tokens: Tensor  # (n,)
    mels: Tensor  # (2 n or 2 n + 1, 80): upstream keeps an odd frame, and drops one of the speech
    speaker: Tensor  # (80,)

    def frames(self, own_tokens: int) -> int:
        """How many mel frames the prompt and `own_tokens` speech tokens have together."""
        return MELS_PER_TOKEN * (len(self.tokens) + own_tokens)


class Flow:
    """The encoder and the flow matching of `s3gen`, which is not changed.

    `dtype` is the type of the estimator; the encoder and the solver's state stay in float32.
    """

    def __init__(self, s3gen: Any, dtype: torch.dtype = torch.float32) -> None:
        flow = s3gen.flow
        self.meanflow: bool = s3gen.meanflow
        self.device = device_of(s3gen)
        self._speaker_affine = flow.spk_embed_affine_layer
        self._encoder = _Encoder(flow)
        self._estimator = Estimator(flow.decoder.estimator.to(self.device), dtype)
        if dtype != torch.float32 and is_small_gpu(str(self.device)):
            self._estimator.put_float32_away("cpu")
        self._cosine = not self.meanflow and flow.decoder.t_scheduler == "cosine"
        self._guidance = None if self.meanflow else flow.decoder.inference_cfg_rate

    def prompt(self, ref: dict[str, Any]) -> VoicePrompt:
        """The voice of upstream's `ref_dict`, made ready once for all its rows."""
        embedding = F.normalize(torch.atleast_2d(ref["embedding"].to(self.device)).float(), dim=1)
        return VoicePrompt(
            ref["prompt_token"].to(self.device).long().reshape(-1),
            ref["prompt_feat"].to(self.device).float().reshape(-1, MELS),
            self._speaker_affine(embedding)[0],
        )

    def mels(
        self,
        tokens: Sequence[Tensor],
        prompt: VoicePrompt,
        noise: Sequence[Tensor],
        *,
        flow_steps: int | None = None,
    ) -> list[Tensor]:
        """The mels, (80, 2 n) each, of rows of tokens, (n,) each.

        `noise` is (80, prompt.frames(n)) for each row: it spans the prompt's frames too. Rows are
        padded to the longest; a row's mel is what it would be alone, up to rounding.
        """
        lengths = [len(prompt.tokens) + len(row) for row in tokens]
        frames = [MELS_PER_TOKEN * length for length in lengths]
        whole = _padded([torch.cat([prompt.tokens, row.to(self.device)]) for row in tokens])
        known = torch.zeros(len(tokens), max(frames), MELS, device=self.device)
        known[:, : len(prompt.mels)] = prompt.mels
        solved = self._solved(
            _padded([row.T for row in noise]),
            [self._encoder(whole, lengths), prompt.speaker.expand(known.shape), known],
            frames,
            self._times(flow_steps or (MEANFLOW_STEPS if self.meanflow else FLOW_STEPS)),
        )
        start = len(prompt.mels)
        return [row[start:end].T for row, end in zip(solved, frames, strict=True)]

    def _times(self, steps: int) -> Tensor:
        """The times of the solver's steps from noise (0) to mel (1), (steps + 1,), on the host."""
        times = torch.linspace(0, 1, steps + 1)
        return 1 - torch.cos(times * 0.5 * torch.pi) if self._cosine else times

    def _solved(
        self, x: Tensor, conditions: list[Tensor], lengths: Sequence[int], times: Tensor
    ) -> Tensor:
        """Euler's method on x (rows, frames, 80), guided where the decoder is not distilled."""
        rows = len(x)
        inputs = torch.cat([x, *conditions], dim=2).to(self._estimator.dtype)
        if self._guidance is not None:  # a second half that knows nothing but the noise
            inputs = torch.cat([inputs, torch.zeros_like(inputs)])
        shifts = self._estimator.shifts(times.to(x.device))
        for step, size in enumerate(times.diff().tolist()):
            inputs.view(-1, rows, *inputs.shape[1:])[..., :MELS] = x
            slope = self._estimator(inputs, [shift[step] for shift in shifts], lengths).float()
            if self._guidance is not None:
                slope, free = slope[:rows], slope[rows:]
                slope = (1 + self._guidance) * slope - self._guidance * free
            x = x + size * slope
        return x


def device_of(s3gen: Any) -> torch.device:
    """Where it speaks; its encoders may be elsewhere (see `gpu.voice_device`)."""
    return s3gen.flow.input_embedding.weight.device


def key_bias(lengths: Sequence[int], device: torch.device) -> Tensor | None:
    """A bias (rows, 1, 1, longest) that hides padding from attention; None without padding.

    Made from lengths that the host knows: upstream asks the device for them at every layer.
    """
    longest = max(lengths)
    if min(lengths) == longest:
        return None
    bias = torch.zeros(len(lengths), 1, 1, longest, device=device)
    for row, length in zip(bias, lengths, strict=True):
        row[..., length:] = -math.inf
    return bias


def _padded(rows: Sequence[Tensor]) -> Tensor:
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


class _Encoder:
    """Upstream's `UpsampleConformerEncoder` with its embedding before and projection after."""

    def __init__(self, flow: Any) -> None:
        encoder, ahead = flow.encoder, flow.encoder.pre_lookahead_layer
        self._embedding = flow.input_embedding
        self._embed, self._up_embed = encoder.embed, encoder.up_embed
        self._embed_in, self._up_embed_in = (
            joined(part.out[0]) for part in (encoder.embed, encoder.up_embed)
        )
        self._look_right = Conv(ahead.conv1, right=ahead.pre_lookahead_len)
        self._look_left = Conv(ahead.conv2)
        self._up = Conv(encoder.up_layer.conv)
        self._layers = [_RelativeLayer(layer) for layer in encoder.encoders]
        self._up_layers = [_RelativeLayer(layer) for layer in encoder.up_encoders]
        self._norm, self._out = encoder.after_norm, joined(flow.encoder_proj)

    def __call__(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """(rows, n) to (rows, 2 n, 80)."""
        x, positions = self._embedded(self._embedding(tokens), self._embed, self._embed_in)
        bias = key_bias(lengths, x.device)
        if bias is not None:  # the look-ahead would see the padding, which is not zero any more
            x = x * (bias == 0)[:, 0, 0, :, None]
        x = x + self._look_left(F.leaky_relu(self._look_right(x)))
        for layer in self._layers:
            x = layer(x, positions, bias)
        x = self._up(x.repeat_interleave(MELS_PER_TOKEN, dim=1))
        x, positions = self._embedded(x, self._up_embed, self._up_embed_in)
        bias = key_bias([MELS_PER_TOKEN * length for length in lengths], x.device)
        for layer in self._up_layers:
            x = layer(x, positions, bias)
        return self._out(self._norm(x))

    @staticmethod
    def _embedded(x: Tensor, module: Any, weight: Weight) -> tuple[Tensor, Tensor]:
        return module.pos_enc(module.out[1](weight(x)))


class _RelativeLayer:
    """Upstream's `ConformerEncoderLayer`, of which S3Gen uses attention and feed-forward."""

    def __init__(self, layer: Any) -> None:
        attention, self._norm, self._norm_ff = layer.self_attn, layer.norm_mha, layer.norm_ff
        self._heads, self._scale = attention.h, 1 / math.sqrt(attention.d_k)
        self._qkv = joined(attention.linear_q, attention.linear_k, attention.linear_v)
        self._positions, self._out = joined(attention.linear_pos), joined(attention.linear_out)
        self._content_bias, self._position_bias = attention.pos_bias_u, attention.pos_bias_v
        self._w1, self._w2 = joined(layer.feed_forward.w_1), joined(layer.feed_forward.w_2)
        self._activation = layer.feed_forward.activation

    def __call__(self, x: Tensor, positions: Tensor, bias: Tensor | None) -> Tensor:
        x = x + self._attended(self._norm(x), positions, bias)
        return x + self._w2(self._activation(self._w1(self._norm_ff(x))))

    def _attended(self, x: Tensor, positions: Tensor, bias: Tensor | None) -> Tensor:
        rows, n, _ = x.shape
        q, k, v = self._qkv(x).view(rows, n, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        p = self._positions(positions).view(-1, self._heads, q.shape[-1]).transpose(0, 1)
        by_distance = (q + self._position_bias[:, None]) * self._scale @ p.transpose(1, 2)
        # Of the 2 n - 1 distances a frame's own are the n that begin one later for each frame
        # before it: upstream's shift, but as a view.
        shifted = by_distance.as_strided(
            (rows, self._heads, n, n),
            (*by_distance.stride()[:2], 2 * n - 2, 1),
            by_distance.storage_offset() + n - 1,
        )
        scores = (q + self._content_bias[:, None]) * self._scale @ k.transpose(2, 3)
        scores += shifted
        if bias is not None:
            scores += bias
        attended = torch.softmax(scores, dim=-1) @ v
        return self._out(attended.transpose(1, 2).reshape(rows, n, -1))
