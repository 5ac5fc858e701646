"""Is the working tree slower than a commit? Both run the same work in turn, on one machine.

Measurements of different days differ by what else the machine did; rounds in turn do not. Not here:
git and the processes (`workers`), the statistics (`verdict`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from chatter_nb.base.errors import ChatterError, InputError
from chatter_nb.bench.history import SHORT_COMMIT, Round, judged_s, same_audio
from chatter_nb.bench.measure import Workload, machine, workload_of
from chatter_nb.bench.params import Progress
from chatter_nb.bench.verdict import SLOWER_FACTOR, StageChange, Verdict, attribute, compare
from chatter_nb.bench.workers import Worker, checked_out, commit_of, own_tree

LEAST_ROUNDS, MOST_ROUNDS = 9, 45  # a side; a quiet machine needs no more than the least
NARROW = 1.1  # an interval's high ÷ low: within ± 5 %, a slow-down of 15 % is plain
WORKING_TREE = "the working tree"


@dataclass(frozen=True)
class Side:
    """The rounds of one tree. `commit` is None outside a checkout."""

    name: str
    commit: str | None
    dirty: bool
    rounds: tuple[Round, ...]

    @property
    def audio_s(self) -> float:
        return self.rounds[0].audio_s

    def as_dict(self) -> dict[str, Any]:
        return {
            "told": self.name,
            "commit": self.commit,
            "dirty": self.dirty,
            "rounds": [timed_round.model_dump() for timed_round in self.rounds],
        }


@dataclass(frozen=True)
class Check:
    """The rounds of two trees, of one workload, and the verdict on them."""

    workload: Workload
    baseline: Side
    candidate: Side

    @property
    def verdict(self) -> Verdict:
        """The verdict on the seconds that the suite is judged by: the whole run, or some stages."""
        suite = self.workload.suite
        return compare(
            judged_s(suite, self.baseline.rounds), judged_s(suite, self.candidate.rounds)
        )

    @property
    def same_work(self) -> bool:
        """Whether both sides made equally many seconds of audio; if not, the verdict is void."""
        return same_audio(self.baseline.audio_s, self.candidate.audio_s)

    @property
    def stages(self) -> list[StageChange]:
        """The stages that carry a change of the whole run."""
        return attribute(self.baseline.rounds, self.candidate.rounds)

    def __str__(self) -> str:
        sides = f"{self.candidate.name} against {self.baseline.name}"
        lines = [
            f"{self.workload.suite}: {sides}, {len(self.baseline.rounds)} rounds a side in turn",
            self.verdict.sentence,
            *(f"  {change}" for change in self.stages),
        ]
        if not self.verdict.significant and self.verdict.high >= SLOWER_FACTOR:
            lines.append("note: noise may hide a slow-down of 10 %: try again on a quieter machine")
        if not self.same_work:
            before_s, after_s = self.baseline.audio_s, self.candidate.audio_s
            lines.append(f"not the same work: {before_s:.1f} s of audio, now {after_s:.1f} s")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """The whole check for JSON, every sample included."""
        verdict = self.verdict
        judged = {"regression": verdict.regression, "sentence": verdict.sentence}
        return {
            "suite": self.workload.suite,
            "options": self.workload.options,
            "workload": self.workload.key,
            "machine": machine(),
            "device": self.workload.device,
            "verdict": asdict(verdict) | judged,
            "same_work": self.same_work,
            "stages": [asdict(change) for change in self.stages],
            "baseline": self.baseline.as_dict(),
            "candidate": self.candidate.as_dict(),
        }


def check(
    suite: str,
    chosen: Mapping[str, Any],
    ref: str,
    repeats: int | None = None,
    on_progress: Progress = lambda message: None,
) -> Check:
    """Run a suite's workload with the package as it is and as it was at a commit, in turn.

    `repeats` is the number of rounds a side; None is 9, and up to 45 while the machine is too noisy
    to tell. The commit is checked out into a temporary folder. Raises `InputError` for invalid
    options, an unknown commit, or a commit that cannot do this work; `EngineError` where a round
    fails.
    """
    tree_now, least = own_tree(), LEAST_ROUNDS if repeats is None else repeats
    with checked_out(tree_now, ref) as (tree, commit):
        workload = workload_of(suite, chosen, least, on_progress)
        baseline = ref if commit.startswith(ref) else f"{ref} ({commit[:SHORT_COMMIT]})"
        with ExitStack() as stack:
            workers = {
                name: stack.enter_context(Worker(workload.work, place, name))
                for name, place in ((baseline, tree), (WORKING_TREE, tree_now))
            }
            _warm_up(workers, baseline, suite, on_progress)
            rounds = in_turn(workers, suite, least, repeats or MOST_ROUNDS, on_progress)
    return Check(
        workload,
        Side(baseline, commit, False, tuple(rounds[baseline])),
        Side(WORKING_TREE, *commit_of(tree_now), tuple(rounds[WORKING_TREE])),
    )


def _warm_up(
    workers: Mapping[str, Worker], baseline: str, suite: str, on_progress: Progress
) -> None:
    """Run each side's first round, the working tree first.

    Raises `InputError` for work that the working tree can do and the commit cannot.
    """
    for name in reversed(list(workers)):
        on_progress(f"{name}: warm-up")
        try:
            warm_up = workers[name].round()
        except ChatterError as error:
            if name != baseline:
                raise
            raise InputError(
                f"{error}. The commit cannot do this work: choose a later one"
            ) from error
        if min(judged_s(suite, [warm_up])) <= 0:
            raise InputError(f"{name} does not time what suite '{suite}' is about: try pipeline")


def in_turn(
    workers: Mapping[str, Worker],
    suite: str,
    least: int = LEAST_ROUNDS,
    most: int = MOST_ROUNDS,
    on_progress: Progress = lambda message: None,
) -> dict[str, list[Round]]:
    """Rounds of several workers in turn, by the workers' names; the first to go changes each round.

    What the machine does meanwhile touches all sides alike. Each worker does at least `least` and
    at most `most` rounds; between the two it ends when the sides are `settled`.
    """
    rounds: dict[str, list[Round]] = {name: [] for name in workers}
    order = list(workers)
    for number in range(1, most + 1):
        for name in order:
            on_progress(f"{name}: round {number} of {least if number <= least else most}")
            rounds[name].append(workers[name].round())
        order = order[1:] + order[:1]
        if number >= least and settled(rounds, suite):
            break
    return rounds


def settled(rounds: Mapping[str, Sequence[Round]], suite: str) -> bool:
    """Whether each side's interval against the first is narrow enough, whatever its ratio is.

    To stop at the first interval that says "slower" would find a change in noise sooner or later.
    """
    first, *others = (judged_s(suite, side) for side in rounds.values())
    verdicts = [compare(first, other) for other in others]
    return all(verdict.high / verdict.low <= NARROW for verdict in verdicts)
