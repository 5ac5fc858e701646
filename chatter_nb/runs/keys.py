"""The identity of a chunk: its seed, its take, and the key that names its samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chatter_nb.base.errors import ParamError
from chatter_nb.base.hashing import chunk_key, chunk_seed
from chatter_nb.engines.base import SpeechEngine, Voice
from chatter_nb.params.runs import AnyParams, SpeakParams, knobs_of
from chatter_nb.text.chunking import Chunk


@dataclass(frozen=True)
class PlannedChunk:
    """A chunk with its seed, take and key. `take_of` is its key at take 0, if `take` is not 0.

    `occurrence` is the number of chunks of the same text before it. A take that `is_named` by the
    parameter `takes` is never replaced by another.
    """

    chunk: Chunk
    seed: int
    take: int
    key: str
    take_of: str | None = None
    occurrence: int = 0
    is_named: bool = False


@dataclass(frozen=True)
class Identities:
    """Gives chunks their seeds and keys. `determines` are the values that decide all samples."""

    run_seed: int
    determines: dict[str, Any]

    def identify(
        self, chunks: Sequence[Chunk], takes: Mapping[str, int] | None = None
    ) -> list[PlannedChunk]:
        """The chunks of a text, each at take 0, or at the take of its key in `takes`."""
        planned = []
        seen: Counter[str] = Counter()
        for chunk in chunks:
            first = self._planned(chunk, seen[chunk.spoken], 0)
            seen[chunk.spoken] += 1
            if takes and first.key in takes:
                first = replace(self.take(first, takes[first.key]), is_named=True)
            planned.append(first)
        return planned

    def take(self, first: PlannedChunk, take: int) -> PlannedChunk:
        """Another take of a chunk that is at take 0."""
        if not take:
            return first
        return replace(self._planned(first.chunk, first.occurrence, take), take_of=first.key)

    def _planned(self, chunk: Chunk, occurrence: int, take: int) -> PlannedChunk:
        text = chunk.spoken
        seed = chunk_seed(seed=self.run_seed, text=text, occurrence=occurrence, take=take)
        key = chunk_key(**self.determines, text=text, seed=seed, take=take)
        return PlannedChunk(chunk, seed, take, key, occurrence=occurrence)


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


def identities(
    params: SpeakParams, engine: SpeechEngine, precision: str, voice: Voice, seed: int
) -> Identities:
    """The identities of the chunks of a speech run."""
    determines = determinants(params, engine, precision, voice) | {
        "language": params.language or engine.languages[0],
        # The parameter, not the number in use: for `rows: 0` that depends on the free memory.
        "rows": params.rows if precision == "fast" else None,
    }
    if params.engine_path != "fast":  # its samples differ by rounding
        determines["engine_path"] = params.engine_path
    return Identities(seed, determines)


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
