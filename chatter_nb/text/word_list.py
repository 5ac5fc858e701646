"""English words, from the embedded voice's checked pronunciations."""

from __future__ import annotations

import gzip
import importlib.util
import json
from functools import cache
from pathlib import Path


@cache
def word_list() -> frozenset[str]:
    """The embedded voice's checked pronunciations (Apache-2.0): 90,000 English words."""
    spec = importlib.util.find_spec("hibari")
    folder = Path(((spec and spec.submodule_search_locations) or [""])[0])
    data = (folder / "assets" / "lexicon_us_gold.json.gz").read_bytes()
    return frozenset(json.loads(gzip.decompress(data)))
