"""Upstream's T3 in parts, as decoding calls them: embeddings, layers, head; a voice's prefix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from chatter_nb.engines.chatterbox.backbone import backbone
from chatter_nb.engines.chatterbox.cache import Apart, Cache, Part, Ragged, Shared
from chatter_nb.engines.chatterbox.graphs import pace_of
from chatter_nb.engines.chatterbox.packing import Weight

# Turbo has no positional embeddings.
_PARTS = ["cond_enc", "text_emb", "text_pos_emb", "speech_emb", "speech_pos_emb", "speech_head"]
_WORDLESS = 64  # positions that are read at once: as far as needed would depend on the company


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
        return self._head(self.backbone.filled(hidden))[: len(hidden)]

    def text_embeds(self, text_tokens: Tensor) -> Tensor:
        """The embeddings (n, width) of a text with start, stop and the beginning of speech.

        Except with Turbo, speech begins twice, both times at position 0: the weights expect it.
        """
        if self.turbo:
            text = self._t3.text_emb(text_tokens[0].to(self.device))
            return torch.cat([text, self.beginning])
        return torch.cat([self._text(text_tokens)[0], self.beginning])

    def _text(self, text_tokens: Tensor) -> Tensor:
        hp = self._t3.hp
        padded = F.pad(text_tokens.long(), (1, 0), value=hp.start_text_token)
        padded = F.pad(padded, (0, 1), value=hp.stop_text_token).to(self.device)
        return self._t3.text_emb(padded) + self._t3.text_pos_emb(padded)

    def _beginning(self) -> Tensor:
        """The embeddings at the beginning of speech, shape (1 or 2, width)."""
        start = torch.tensor([self.start], device=self.device)
        if self.turbo:
            return self._t3.speech_emb(start)
        begin = self._t3.speech_emb(start) + self._t3.speech_pos_emb.get_fixed_embedding(0)[0]
        return torch.cat([begin, begin])

    def speech_embeds(self, tokens: Tensor, numbers: Tensor) -> Tensor:
        """Tokens (rows,), of these `numbers` in their chunks from 1 on, to (rows, width)."""
        embeds = self._t3.speech_emb(tokens)
        if not self.turbo:
            table = self._t3.speech_pos_emb.emb.weight
            embeds = embeds + table[numbers.clamp(max=len(table) - 1)]
        return embeds

    def position_embeds(self, start: int, end: int) -> Tensor:
        """Position embeddings of text [start, end), as far as there are, for guidance's twins."""
        return self._t3.text_pos_emb.emb.weight[start:end]


class Prefix:
    """The beginning of all chunks of a voice, read once: keys and values in a cache of one row.

    After the `length` positions of the voice come positions of a text without words, as many as a
    chunk has needed so far: guidance compares every chunk with them.
    """

    def __init__(self, network: Network, embeds: Tensor) -> None:
        self._network = network
        self.length = len(embeds)
        self._wordless = 0
        self.cache = Cache(network.backbone, 1, self.length)
        self._read(embeds, 0)

    def reach(self, text_length: int) -> None:
        """Read the wordless text up to `text_length` positions at least, if that is not done."""
        while self._wordless < text_length:
            start = self._wordless
            embeds = self._network.position_embeds(start, start + _WORDLESS)
            self._wordless += len(embeds)
            self.cache.grow(self.length + self._wordless)
            self._read(embeds, self.length + start)

    def _read(self, embeds: Tensor, start: int) -> None:
        backbone = self._network.backbone
        part = Part(self.cache, slice(0, 1), start, len(embeds))
        backbone(embeds, Ragged([part], backbone.tile))


_TOGETHER = 512  # positions; more at once are not faster


def read_texts(
    network: Network,
    prefix: Prefix,
    caches: Shared | Apart,
    texts: Mapping[int, Tensor],
    *,
    guided: bool,
) -> Tensor:
    """The hidden states after the texts, in their order; if `guided` each before its twin's.

    `texts` are embeddings (n, width) by row. In 16 bits each text is read alone, since its company
    would change its rounding.
    """
    tile = network.backbone.tile
    hidden = []
    for group in _groups(texts, _TOGETHER if tile == 1 else 0):
        parts: list[Part] = []
        embeds: list[Tensor] = []
        for number in group:
            cache, lanes = caches.lanes(number)
            parts.append(_after_prefix(prefix, cache, lanes.start, prefix.length, texts[number]))
            embeds.append(texts[number])
            if guided:  # of the twin only the beginning of speech: the prefix holds the rest
                beginning = network.beginning
                end = parts[-1].end - len(beginning)
                prefix.reach(end - prefix.length)
                parts.append(_after_prefix(prefix, cache, lanes.start + 1, end, beginning))
                embeds.append(beginning)
        last = torch.tensor([part.count for part in parts]).cumsum(0) - 1
        states = network.backbone(torch.cat(embeds), Ragged(parts, tile))
        hidden.append(states[last.to(states.device)])
    return torch.cat(hidden)


def _after_prefix(prefix: Prefix, cache: Cache, lane: int, start: int, embeds: Tensor) -> Part:
    """Copy `start` positions of the prefix into a sequence; `embeds` are to be read after them."""
    rows = slice(lane, lane + 1)
    cache.copy(slice(0, 1), rows, start, of=prefix.cache)
    return Part(cache, rows, start, len(embeds))


def _groups(texts: Mapping[int, Tensor], together: int) -> Iterator[list[int]]:
    """The rows in groups of at most `together` positions, or of a single row."""
    group: list[int] = []
    for number, text in texts.items():
        if group and sum(len(texts[each]) for each in group) + len(text) > together:
            yield group
            group = []
        group.append(number)
    yield group
