"""Hashes over plain values, the same in every process; a chunk's seed and key are hashes."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def chunk_seed(*, seed: int, text: str, occurrence: int, take: int) -> int:
    """The seed of a chunk, in [0, 2³²). It depends on the chunk's text, not on its position.

    `occurrence` is the number of equal texts before it: a text that comes twice sounds different.
    """
    return int(digest([seed, text, occurrence, take], size=4), 16)


def chunk_key(**determines: Any) -> str:
    """The name of a chunk's samples: a hash over everything that determines them."""
    return digest(determines, size=16)


def streamed_key(key: str) -> str:
    """The key of a chunk's other rendering, which a listener heard in parts."""
    return digest(["streamed", key], size=16)


def digest(values: Any, *, size: int) -> str:
    """A hash of `size` bytes over plain values, the same in every process."""
    canonical = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(canonical.encode(), digest_size=size).hexdigest()
