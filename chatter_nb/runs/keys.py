"""The identity of a chunk: its seed, its take, and the key that names its samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chatter_nb.base.errors import ParamError
from chatter_nb.base.hashing import chunk_key, chunk_seed
from chatter_nb.engines.base import SpeechEngine, Voice
from chatter_nb.params.runs import AnyParams, knobs_of
from chatter_nb.runs.places import PlacedChunk
from chatter_nb.runs.roles import Role, RoleKey, role_key
from chatter_nb.text.chunking import Chunk


@dataclass(frozen=True)
class PlannedChunk:
    """A chunk with its seed, take and key. `take_of` is its key at take 0, if `take` is not 0.

    `occurrence` is its number among the chunks of the same text, see `occurrences`. A take that
    `is_named`, by the parameter `takes` or by an edit, is never replaced by another.
    """

    placed: PlacedChunk
    seed: int
    take: int
    key: str
    take_of: str | None = None
    occurrence: int = 0
    is_named: bool = False

    @property
    def chunk(self) -> Chunk:
        return self.placed.chunk


@dataclass(frozen=True)
class Identities:
    """Gives chunks their seeds and keys. `determines` are the values that decide all samples of a
    speaker in a mood.
    """

    run_seed: int
    determines: Mapping[RoleKey, dict[str, Any]]

    def identify(
        self, chunks: Sequence[PlacedChunk], takes: Mapping[str, int] | None = None
    ) -> list[PlannedChunk]:
        """The chunks of a text, each at the take that `named` gives it."""
        numbers = occurrences(chunks)
        return [self.named(*pair, takes or {}) for pair in zip(chunks, numbers, strict=True)]

    def named(self, placed: PlacedChunk, occurrence: int, takes: Mapping[str, int]) -> PlannedChunk:
        """A chunk at the take that its edit names, or that `takes` names for its key; else at 0."""
        first = self._planned(placed, occurrence, 0)
        take = takes.get(first.key) if placed.take is None else placed.take
        return first if take is None else replace(self.take(first, take), is_named=True)

    def take(self, first: PlannedChunk, take: int) -> PlannedChunk:
        """Another take of a chunk that is at take 0."""
        if not take:
            return first
        return replace(self._planned(first.placed, first.occurrence, take), take_of=first.key)

    def _planned(self, placed: PlacedChunk, occurrence: int, take: int) -> PlannedChunk:
        text = placed.chunk.spoken
        seed = chunk_seed(seed=self.run_seed, text=text, occurrence=occurrence, take=take)
        key = chunk_key(**self.determines[role_key(placed.chunk)], text=text, seed=seed, take=take)
        return PlannedChunk(placed, seed, take, key, occurrence=occurrence)


def occurrences(chunks: Sequence[PlacedChunk]) -> list[int]:
    """The number of each chunk among those of a text that are spoken alike.

    A chunk without new words counts those before it in the text without edits: an edit changes the
    number of no other chunk. Edited ones come after all of these, in their order.
    """
    sources = Counter(_written(placed.source) for placed in chunks)
    before: Counter[str] = Counter()
    numbers = []
    for placed in chunks:
        text, source_text = _written(placed.chunk), _written(placed.source)
        if text == source_text:
            numbers.append(before[text])
        else:
            numbers.append(sources[text])
            sources[text] += 1
        before[source_text] += 1
    return numbers


def _written(chunk: Chunk) -> str:
    """What is said for a chunk without lexicon, rules and what its voice cannot speak.

    So its number depends on none of these.
    """
    return (chunk if chunk.said is None else replace(chunk, said=None)).spoken


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
    roles: Mapping[RoleKey, Role], engine: SpeechEngine, precision: str, seed: int
) -> Identities:
    """The identities of the chunks of a speech run."""
    return Identities(seed, {key: _of_role(role, engine, precision) for key, role in roles.items()})


def _of_role(role: Role, engine: SpeechEngine, precision: str) -> dict[str, Any]:
    params = role.params
    determines = determinants(params, engine, precision, role.voice) | {
        "language": params.language or engine.languages[0],
        # The parameter, not the number in use: for `rows: 0` that depends on the free memory.
        "rows": params.rows if precision == "fast" else None,
    }
    if params.engine_path != "fast":  # its samples differ by rounding
        determines["engine_path"] = params.engine_path
    return determines


def check_takes(
    takes: Mapping[str, int], identities: Identities, texts: Iterable[Sequence[PlacedChunk]]
) -> None:
    """Refuse a take of a chunk that no text has, with its edits or without them."""
    known: set[str] = set()
    for chunks in texts:
        for placed in (chunks, [replace(chunk, chunk=chunk.source) for chunk in chunks]):
            known |= {planned.take_of or planned.key for planned in identities.identify(placed)}
    unknown = sorted(set(takes) - known)
    if unknown:
        raise ParamError(
            f"takes names {', '.join(unknown)}, which is no chunk of this text with these "
            "parameters; a chunk's key is in run.json (take_of, where it has one, else key), and "
            "holds for that run's seed: if it was drawn, set seed to it"
        )
