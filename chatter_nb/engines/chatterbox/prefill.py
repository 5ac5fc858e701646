"""Reading the texts of new chunks into their caches, several in each product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from chatter_nb.engines.chatterbox.cache import Apart, Cache, Part, Ragged, Shared
from chatter_nb.engines.chatterbox.network import Network, Prefix

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
