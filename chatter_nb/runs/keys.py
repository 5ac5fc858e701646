"""What a chunk is known by: its seed, its take, and the key that names its samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from chatter_nb.base.errors import ParamError
from chatter_nb.base.hashing import chunk_key, chunk_seed
from chatter_nb.engines.base import SpeechEngine, Voice, knobs_of
from chatter_nb.params.runs import SpeakParams
from chatter_nb.text.chunking import Chunk


@dataclass(frozen=True)
class PlannedChunk:
    """A chunk, and what fixes its samples. `take_of`: its key at take 0, if this is another."""

    chunk: Chunk
    seed: int
    take: int
    key: str
    take_of: str | None


class Settled(NamedTuple):
    """What a run has settled on, besides its parameters."""

    engine: SpeechEngine
    precision: str
    voice: Voice
    seed: int


def identify(chunks: Sequence[Chunk], params: SpeakParams, settled: Settled) -> list[PlannedChunk]:
    """Give each chunk of a text its seed, its key, and the take that `params.takes` asks for."""
    engine, precision, voice, seed = settled
    determines = {
        "engine": engine.name,
        "version": engine.version,
        "voice": voice.content_hash,
        "knobs": knobs_of(params),
        "language": params.language or engine.languages[0],
        "precision": precision,
        "device": engine.device.partition(":")[0],  # another draws other numbers from a seed
        # As asked for: what `rows: 0` becomes follows the free memory, and a resume must find it.
        "rows": params.rows if precision == "fast" else None,
    }
    if params.engine_path != "fast":  # the samples are the same up to rounding: compared, not used
        determines["engine_path"] = params.engine_path
    planned = []
    seen: Counter[str] = Counter()
    for chunk in chunks:
        text, occurrence = chunk.spoken, seen[chunk.spoken]
        seen[text] += 1
        first = _at_take(0, text, occurrence, seed, determines)
        take = params.takes.get(first.key, 0)
        own = _at_take(take, text, occurrence, seed, determines) if take else first
        planned.append(PlannedChunk(chunk, own.seed, take, own.key, first.key if take else None))
    return planned


class _Identity(NamedTuple):
    seed: int
    key: str


def _at_take(
    take: int, text: str, occurrence: int, run_seed: int, determines: dict[str, Any]
) -> _Identity:
    seed = chunk_seed(seed=run_seed, text=text, occurrence=occurrence, take=take)
    return _Identity(seed, chunk_key(**determines, text=text, seed=seed, take=take))


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
