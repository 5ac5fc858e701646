"""Which stage carries a change: the same work before and after, stage by stage.

Not here: whether there is a change worth a word, which is `timing.compare`'s to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chatter_nb.bench.history import Round
from chatter_nb.bench.ranks import shift
from chatter_nb.bench.verdict import percent

OUTSIDE = "outside the stages"
ALL_OF_IT = 0.9  # of the change; a rest so small is as likely noise
WORTH_TELLING = 0.05  # of the change


@dataclass(frozen=True)
class StageChange:
    """A stage that became slower or faster, beyond chance at 99 %.

    `shift_s` is what it adds to a round, `share` its part of the whole change: above 1, or below 0,
    where others went the other way.
    """

    stage: str
    shift_s: float
    low_s: float
    high_s: float
    share: float

    def __str__(self) -> str:
        of_it = "all of it" if self.share >= ALL_OF_IT else f"{percent(self.share)} of it"
        if self.share < 0:
            of_it = "against the rest"
        return f"{self.stage}: {_seconds(self.shift_s)}, {of_it}"


def attribute(baseline: Sequence[Round], candidate: Sequence[Round]) -> list[StageChange]:
    """The stages that carry a change of the whole, the largest first; none if there is no change.

    Raises `ValueError` for fewer than 5 rounds a side.
    """
    whole = shift([one.wall_s for one in baseline], [one.wall_s for one in candidate])
    if not whole.significant:
        return []
    found = []
    stages = dict.fromkeys(name for one in (*baseline, *candidate) for name in one.stages_s)
    for stage in [*stages, OUTSIDE]:
        change = shift(*([spent_s(one, stage) for one in side] for side in (baseline, candidate)))
        share = change.estimate / whole.estimate
        if change.significant and abs(share) >= WORTH_TELLING:
            found.append(StageChange(stage, change.estimate, change.low, change.high, share))
    return sorted(found, key=lambda one: -one.share)


def spent_s(one: Round, stage: str) -> float:
    """Seconds of a round in a stage, 0 where it has none such; or `OUTSIDE` all of them."""
    if stage == OUTSIDE:
        return one.wall_s - sum(one.stages_s.values())
    return one.stages_s.get(stage, 0.0)


def _seconds(seconds: float) -> str:
    """With its sign, to two figures that count: +0.21 s, −3.4 ms."""
    if abs(seconds) < 0.01:
        return f"{seconds * 1000:+.2g} ms".replace("-", "−")
    return f"{seconds:+.2f} s".replace("-", "−")
