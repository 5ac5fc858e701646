"""Hashes over plain values, the same in every process; a chunk's seed and key are such hashes."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def chunk_seed(*, seed: int, text: str, occurrence: int, take: int) -> int:
    """A chunk's own seed in [0, 2³²): from what it is, never from where it stands.

    `occurrence` counts equal texts before it, so that a refrain is not sung twice alike.
    """
    return int(digest([seed, text, occurrence, take], size=4), 16)


def chunk_key(**determines: Any) -> str:
    """The name of a chunk's samples: a hash over everything that determines them."""
    return digest(determines, size=16)


def digest(values: Any, *, size: int) -> str:
    """A hash of `size` bytes over plain values, the same in every process."""
    canonical = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(canonical.encode(), digest_size=size).hexdigest()
