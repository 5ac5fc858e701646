"""Is the working tree slower than a commit? Both run the same work in turn, on one machine.

Measurements of different days differ by what else the machine did; rounds in turn do not. Not here:
git (`checkout`), the processes (`workers`), the statistics (`timing`, `attribution`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from chatter_nb.base.errors import ChatterError, InputError
from chatter_nb.bench.attribution import StageChange, attribute
from chatter_nb.bench.checkout import checked_out, commit_of
from chatter_nb.bench.history import SHORT_COMMIT, Round, judged_s, same_audio
from chatter_nb.bench.measure import Workload, machine, workload_of
from chatter_nb.bench.verdict import SLOWER_FACTOR, Verdict, compare
from chatter_nb.bench.workers import Worker, own_tree

LEAST_ROUNDS, MOST_ROUNDS = 9, 45  # a side; a quiet machine needs no more than the least
NARROW = 1.1  # an interval's high ÷ low: within ± 5 %, a slow-down of 15 % is plain
Progress = Callable[[str], object]


@dataclass(frozen=True)
class Side:
    """One tree's rounds. `commit` is None outside a checkout."""

    told: str
    commit: str | None
    dirty: bool
    rounds: tuple[Round, ...]

    @property
    def audio_s(self) -> float:
        return self.rounds[0].audio_s


@dataclass(frozen=True)
class Check:
    """Two trees' rounds of one workload, and what they say."""

    workload: Workload
    baseline: Side
    candidate: Side

    @property
    def verdict(self) -> Verdict:
        """By what the suite is about: the whole run, or its own stages."""
        sides = (self.baseline, self.candidate)
        return compare(*(judged_s(self.workload.suite, side.rounds) for side in sides))

    @property
    def same_work(self) -> bool:
        """Whether both sides made the same seconds of audio: else the verdict means nothing."""
        return same_audio(self.baseline.audio_s, self.candidate.audio_s)

    @property
    def stages(self) -> list[StageChange]:
        """The stages that carry a change of the whole run."""
        return attribute(self.baseline.rounds, self.candidate.rounds)

    def __str__(self) -> str:
        sides = f"{self.candidate.told} against {self.baseline.told}"
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
        """Everything, every sample too, for JSON."""
        verdict = self.verdict
        about = {"suite": self.workload.suite, "options": self.workload.options}
        about |= {"workload": self.workload.key, "machine": machine()}
        return {
            **about,
            "device": self.workload.device,
            "verdict": asdict(verdict)
            | {"regression": verdict.regression, "sentence": verdict.sentence},
            "same_work": self.same_work,
            "stages": [asdict(change) for change in self.stages],
            "baseline": _side_as_dict(self.baseline),
            "candidate": _side_as_dict(self.candidate),
        }


def check(
    suite: str,
    given: Mapping[str, Any],
    ref: str,
    repeats: int | None = None,
    progress: Progress = lambda told: None,
) -> Check:
    """Run a suite's workload with the package as it is and as it was at a commit, in turn.

    `repeats` rounds a side; left open, 9, and up to 45 while the machine is too noisy to tell. The
    commit is laid out in a temporary folder. Raises `InputError` for options that do not hold,
    a name that is no commit, or a commit that cannot do this work; `EngineError` where a round
    fails.
    """
    tree_now, least = own_tree(), LEAST_ROUNDS if repeats is None else repeats
    with checked_out(tree_now, ref) as (tree, commit):
        workload = workload_of(suite, given, least, progress)
        before = ref if commit.startswith(ref) else f"{ref} ({commit[:SHORT_COMMIT]})"
        after = "the working tree"
        with ExitStack() as ending:
            workers = {
                name: ending.enter_context(Worker(workload.work, place, name))
                for name, place in ((before, tree), (after, tree_now))
            }
            _warm_up(workers, before, suite, progress)
            rounds = in_turn(workers, suite, least, repeats or MOST_ROUNDS, progress)
    baseline = Side(before, commit, False, tuple(rounds[before]))
    return Check(workload, baseline, Side(after, *commit_of(tree_now), tuple(rounds[after])))


def _warm_up(workers: Mapping[str, Worker], baseline: str, suite: str, progress: Progress) -> None:
    """The first round of each; what the working tree can do and the commit cannot is told."""
    for name in reversed(list(workers)):
        progress(f"{name}: warm-up")
        try:
            warm = workers[name].round()
        except ChatterError as error:
            if name != baseline:
                raise
            raise InputError(
                f"{error}. The commit cannot do this work: choose a later one"
            ) from error
        if min(judged_s(suite, [warm])) <= 0:
            raise InputError(f"{name} does not time what suite '{suite}' is about: try pipeline")


def in_turn(
    workers: Mapping[str, Worker],
    suite: str,
    least: int = LEAST_ROUNDS,
    most: int = MOST_ROUNDS,
    progress: Progress = lambda told: None,
) -> dict[str, list[Round]]:
    """Rounds of several workers, one after another; who goes first changes from round to round.

    What the machine does meanwhile touches all sides alike. Of `most` rounds a side those are left
    out that no longer tell anything: after `least`, it ends when the others are `settled` against
    the first.
    """
    rounds: dict[str, list[Round]] = {name: [] for name in workers}
    order = list(workers)
    for number in range(1, most + 1):
        for name in order:
            progress(f"{name}: round {number} of {least if number <= least else most}")
            rounds[name].append(workers[name].round())
        order = order[1:] + order[:1]
        if number >= least and settled(rounds, suite):
            break
    return rounds


def settled(rounds: Mapping[str, Sequence[Round]], suite: str) -> bool:
    """Whether the ratios' intervals are narrow enough: by width alone, whatever they say.

    To stop at the first interval that says "slower" would find one in noise sooner or later.
    """
    first, *others = (judged_s(suite, one) for one in rounds.values())
    verdicts = [compare(first, other) for other in others]
    return all(one.high / one.low <= NARROW for one in verdicts)


def _side_as_dict(side: Side) -> dict[str, Any]:
    about = {"told": side.told, "commit": side.commit, "dirty": side.dirty}
    return about | {"rounds": [one.model_dump() for one in side.rounds]}
