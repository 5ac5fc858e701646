"""Which chunks of several runs belong side by side: pure text, no audio."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import accumulate, pairwise

ALIKE = 0.5  # of their words; an edited sentence keeps more, two that are unrelated share less
FAR = 8  # chunks between two that are compared, in a stretch where all were edited

Row = tuple[range, ...]  # for each run the chunks that stand in the row; empty if it has none


def align(texts: Sequence[Sequence[str]]) -> list[Row]:
    """Rows of the chunks of each run, in order; every chunk stands in exactly one.

    Runs of the same text that was cut differently meet where all of them have a cut. Otherwise
    equal chunks of each run and the first stand together, then chunks that are alike, and what has
    no counterpart stands alone.
    """
    wholes = {"".join(run) for run in texts}
    if len(wholes) == 1:
        return _common_cuts(texts)
    rows: list[list[range]] = [
        [range(i, i + 1), *(range(0) for _ in texts[1:])] for i in range(len(texts[0]))
    ]
    for number, other in enumerate(texts[1:], 1):
        _add(rows, number, other, texts[0], len(texts))
    return [tuple(row) for row in rows]


def _common_cuts(texts: Sequence[Sequence[str]]) -> list[Row]:
    """The same text in all runs: a row ends where every run has a cut."""
    ends = [list(accumulate(map(len, run))) for run in texts]
    common = sorted(set.intersection(*map(set, ends)))
    bounds = [[0, *(run.index(end) + 1 for end in common)] for run in ends]
    return list(zip(*([range(a, b) for a, b in pairwise(run)] for run in bounds), strict=True))


def _add(
    rows: list[list[range]], number: int, texts: Sequence[str], first: Sequence[str], runs: int
) -> None:
    """Put a run's chunks beside those of the first; what is left, in rows after their neighbour."""
    partner = _partners(first, texts)
    place = -1  # of the row that the last chunk stands in
    for index, _ in enumerate(texts):
        if index in partner:
            place = next(i for i, row in enumerate(rows) if partner[index] in row[0])
            rows[place][number] = range(index, index + 1)
        else:
            place += 1
            rows.insert(place, [range(0) for _ in range(runs)])
            rows[place][number] = range(index, index + 1)


def _partners(first: Sequence[str], other: Sequence[str]) -> dict[int, int]:
    """For chunks of `other` the chunk of `first` that they belong to; both rise."""
    found: dict[int, int] = {}
    a, b = [text.strip() for text in first], [text.strip() for text in other]
    for kind, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            found |= dict(zip(range(b0, b1), range(a0, a1), strict=True))
        elif kind == "replace":
            found |= _alike(a, b, range(a0, a1), range(b0, b1))
    return found


def _alike(a: Sequence[str], b: Sequence[str], left: range, right: range) -> dict[int, int]:
    """Pairs of edited chunks, the most alike first; those that would cross it are left out."""
    if not left or not right:
        return {}
    offset = right.start - left.start
    near = [(i, j) for i in left for j in right if abs(j - i - offset) <= FAR]
    ratio, i, j = max(((_ratio(a[i], b[j]), i, j) for i, j in near), key=lambda found: found[0])
    if ratio < ALIKE:
        return {}
    before = _alike(a, b, range(left.start, i), range(right.start, j))
    after = _alike(a, b, range(i + 1, left.stop), range(j + 1, right.stop))
    return {**before, j: i, **after}


def _ratio(one: str, other: str) -> float:
    return SequenceMatcher(None, one.split(), other.split(), autojunk=False).ratio()
