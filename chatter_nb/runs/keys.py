"""The identity of a chunk: its seed, its take, and the key that names its samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chatter_nb.base.errors import ParamError
from chatter_nb.base.hashing import chunk_key, chunk_seed
from chatter_nb.engines.base import SpeechEngine, Voice
from chatter_nb.params.runs import AnyParams, SpeakParams, knobs_of
from chatter_nb.text.chunking import Chunk


@dataclass(frozen=True)
class PlannedChunk:
    """A chunk with its seed, take and key. `take_of` is its key at take 0, if `take` is not 0."""

    chunk: Chunk
    seed: int
    take: int
    key: str
    take_of: str | None = None


def determinants(params: AnyParams, engine: Any, precision: str, voice: Voice) -> dict[str, Any]:
    """The values that decide the samples of all chunks and windows of a run."""
    return {
        "engine": engine.name,
        "version": engine.version,
        "voice": voice.content_hash,
        "knobs": knobs_of(params),
        "precision": precision,
        "device": engine.device.partition(":")[0],  # each kind draws other numbers from a seed
    }


def identify(
    chunks: Sequence[Chunk],
    params: SpeakParams,
    engine: SpeechEngine,
    precision: str,
    voice: Voice,
    seed: int,
) -> list[PlannedChunk]:
    """Give each chunk of a text its seed, its key, and the take that `params.takes` asks for."""
    determines = determinants(params, engine, precision, voice) | {
        "language": params.language or engine.languages[0],
        # The parameter, not the number in use: for `rows: 0` that depends on the free memory.
        "rows": params.rows if precision == "fast" else None,
    }
    if params.engine_path != "fast":  # its samples differ by rounding
        determines["engine_path"] = params.engine_path
    planned = []
    seen: Counter[str] = Counter()
    for chunk in chunks:
        text = chunk.spoken
        occurrence = seen[text]
        seen[text] += 1
        first = _planned_take(0, chunk, occurrence, seed, determines)
        take = params.takes.get(first.key, 0)
        if take:
            later = _planned_take(take, chunk, occurrence, seed, determines)
            planned.append(replace(later, take_of=first.key))
        else:
            planned.append(first)
    return planned


def _planned_take(
    take: int, chunk: Chunk, occurrence: int, run_seed: int, determines: dict[str, Any]
) -> PlannedChunk:
    text = chunk.spoken
    seed = chunk_seed(seed=run_seed, text=text, occurrence=occurrence, take=take)
    return PlannedChunk(chunk, seed, take, chunk_key(**determines, text=text, seed=seed, take=take))


def check_takes(params: SpeakParams, chunks: Iterable[PlannedChunk]) -> None:
    """Refuse a take of a chunk that the text does not have."""
    known = {planned.take_of or planned.key for planned in chunks}
    unknown = sorted(set(params.takes) - known)
    if unknown:
        raise ParamError(
            f"takes names {', '.join(unknown)}, which is no chunk of this text with these "
            "parameters; a chunk's key is in run.json (take_of, where it has one, else key), and "
            "holds for that run's seed: if it was drawn, set seed to it"
        )
