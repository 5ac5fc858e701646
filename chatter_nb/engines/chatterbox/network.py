"""Upstream's T3 in parts, as decoding calls them: embeddings, layers, head; a voice's prefix."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from chatter_nb.engines.chatterbox.backbone import Cache, Place, backbone
from chatter_nb.engines.chatterbox.graphs import pace_of
from chatter_nb.engines.chatterbox.packing import Weight

# Turbo has no positional embeddings.
_PARTS = ["cond_enc", "text_emb", "text_pos_emb", "speech_emb", "speech_pos_emb", "speech_head"]


class Network:
    """An upstream T3 on `device`, its layers in `dtype`.

    The layers of the given `t3` are not used any more and can be dropped; its embeddings move to
    the device.
    """

    def __init__(
        self, t3: Any, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.device = torch.device(device)
        self.turbo, self.multilingual = t3.is_gpt, bool(t3.hp.is_multilingual)
        self.start, self.stop = t3.hp.start_speech_token, t3.hp.stop_speech_token
        self.vocabulary = t3.speech_head.out_features
        self.longest_text, self.voice_tokens = t3.hp.max_text_tokens, t3.hp.speech_cond_prompt_len
        self.backbone = backbone(t3, self.device, dtype)
        self._t3 = t3
        for name in _PARTS:
            if getattr(t3, name) is not None:
                getattr(t3, name).to(self.device)
        self._head = Weight(t3.speech_head.weight.detach(), t3.speech_head.bias)
        self.pace = pace_of(self.device)
        with torch.inference_mode():
            self.beginning = self._beginning()

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states (rows, width), float32, to logits (rows, vocabulary)."""
        return self._head(hidden)

    def text_embeds(self, text_tokens: Tensor) -> Tensor:
        """The embeddings (1, n, width) of a text with start, stop and the beginning of speech.

        Except with Turbo, speech begins twice, both times at position 0: the weights expect it.
        """
        if self.turbo:
            text = self._t3.text_emb(text_tokens.to(self.device))
            return torch.cat([text, self.beginning], dim=1)
        return torch.cat([self._text(text_tokens), self.beginning], dim=1)

    def _text(self, text_tokens: Tensor) -> Tensor:
        hp = self._t3.hp
        padded = F.pad(text_tokens.long(), (1, 0), value=hp.start_text_token)
        padded = F.pad(padded, (0, 1), value=hp.stop_text_token).to(self.device)
        return self._t3.text_emb(padded) + self._t3.text_pos_emb(padded)

    def _beginning(self) -> Tensor:
        """The embeddings at the beginning of speech, shape (1, 1 or 2, width)."""
        start = torch.tensor([[self.start]], device=self.device)
        if self.turbo:
            return self._t3.speech_emb(start)
        begin = self._t3.speech_emb(start) + self._t3.speech_pos_emb.get_fixed_embedding(0)
        return torch.cat([begin, begin], dim=1)

    def speech_embeds(self, tokens: Tensor, numbers: Tensor) -> Tensor:
        """Tokens (rows,), of these `numbers` in their chunks from 1 on, to (rows, 1, width)."""
        embeds = self._t3.speech_emb(tokens)
        if not self.turbo:
            table = self._t3.speech_pos_emb.emb.weight
            embeds = embeds + table[numbers.clamp(max=len(table) - 1)]
        return embeds[:, None]

    def position_embeds(self, start: int, end: int) -> Tensor:
        """The position embeddings of text [start, end), for the other half of guidance."""
        return self._t3.text_pos_emb.emb.weight[start:end][None]


class Prefix:
    """The beginning of all chunks of a voice, read once: keys and values in a cache of one row.

    After the `length` positions of the voice come positions of a text without words, as many as a
    chunk has needed so far: guidance compares every chunk with them.
    """

    def __init__(self, network: Network, embeds: Tensor) -> None:
        self._network = network
        self.length = embeds.shape[1]
        self._wordless = 0
        self.cache = Cache(network.backbone, 1, self.length)
        self._read(embeds, 0)

    def reach(self, text_length: int) -> None:
        """Read the wordless text up to `text_length` positions, if that is not done."""
        if text_length > self._wordless:
            self.cache.grow(self.length + text_length)
            embeds = self._network.position_embeds(self._wordless, text_length)
            self._read(embeds, self.length + self._wordless)
            self._wordless = text_length

    def _read(self, embeds: Tensor, start: int) -> None:
        end = start + embeds.shape[1]
        positions = torch.arange(start, end, device=embeds.device)[None]
        self._network.backbone(embeds, Place(self.cache, slice(0, 1), positions, end))
