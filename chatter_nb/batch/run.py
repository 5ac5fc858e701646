"""Many notebook runs: planned (`batch.plan`), performed by a crew, recorded, none swallowed.

    plan = plan_batch(BatchParams(files=("params/batch/*.yaml",)))
    report = run_batch(plan)

A batch that was killed or stopped is resumed by running it again: what is done is left alone, and
what had begun goes on from its kept chunks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from chatter_nb.base.errors import ChatterError, OutputError
from chatter_nb.base.interrupts import on_interrupt
from chatter_nb.batch.executors import Alone, Crew, Started, Workers, uses_gpu, visible_gpus
from chatter_nb.batch.params import BatchParams
from chatter_nb.batch.plan import BatchPlan, plan_batch
from chatter_nb.batch.record import Ledger
from chatter_nb.batch.tasks import Job, Outcome, Status, is_done

__all__ = ["BatchParams", "BatchPlan", "BatchReport", "crew_for", "plan_batch", "run_batch"]

_SHOW_EVERY_S = 60.0  # a page of 500 runs takes under a second once their waveforms are kept

Watch = Callable[[Started | Outcome], object]
Gallery = Callable[[Path], Path]


class BatchError(ChatterError):
    """A batch in which runs failed."""


@dataclass(frozen=True)
class BatchReport:
    """What became of a batch: an outcome for each run that was begun."""

    plan: BatchPlan
    outcomes: tuple[Outcome, ...]
    stopped: bool = False  # by a person
    full: bool = False  # the disk
    done_since: int = 0  # by another batch, or the same plan, since it was planned
    notes: tuple[str, ...] = ()
    gallery: str = ""  # where it is

    def of(self, status: Status) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == status]

    @property
    def status(self) -> Status:
        if self.of("cancelled") or (self.stopped and self.not_begun):
            return "cancelled"
        return "failed" if self.of("failed") else "ok"

    @property
    def not_begun(self) -> int:
        return len(self.plan.to_do) - self.done_since - len(self.outcomes)

    def check(self) -> None:
        """Raise `BatchError`, with every reason, if a run failed."""
        if self.of("failed"):
            raise BatchError(str(self))

    def __str__(self) -> str:
        numbers = {
            "done before": self.plan.counts()["done"] + self.done_since,
            "done now": len(self.of("ok")),
            "failed": len(self.of("failed")),
            "stopped": len(self.of("cancelled")),
            "not begun": self.not_begun,
        }
        lines = [", ".join(f"{number} {told}" for told, number in numbers.items() if number)]
        lines += [f"  FAILED {one.name}: {one.error}" for one in self.of("failed")]
        if self.full:
            lines.append("the disk is full: make room; the batch goes on where it stopped")
        lines += [f"note: {note}" for note in self.notes]
        if self.not_begun or self.status != "ok":
            lines.append("the same batch again goes on with what is not done")
        if self.gallery:
            lines.append(f"to listen through: {self.gallery}")
        return "\n".join(line for line in lines if line)


def run_batch(
    plan: BatchPlan,
    watch: Watch = lambda event: None,
    *,
    crew: Crew | None = None,
    echo: bool = False,
    gallery: Gallery | None = None,
) -> BatchReport:
    """Perform what is to do; a run that fails is recorded, and the rest go on.

    `watch` is told of each run as it begins and as it ends; `echo` shows what cells print;
    `gallery` writes a page over the folder, now and then and at the end. The first Ctrl-C lets runs
    in hand finish their chunk; the second raises `KeyboardInterrupt`. Raises `OutputError` if
    another batch is at work in the folder, or if it cannot be written.
    """
    ledger = Ledger(plan.folder)
    with ExitStack() as stack:
        stack.enter_context(ledger.locked())
        jobs = [replace(one.job, echo=echo) for one in plan.to_do if not is_done(one.job)]
        ledger.begin(plan.notebook.name, plan.engines, {job.name: job.key for job in jobs})
        chosen = stack.enter_context(crew or crew_for(plan.params, jobs))
        run = _Run(plan, ledger, chosen, watch, gallery)
        try:
            with on_interrupt(run.stop):
                run.perform(jobs)
                if plan.params.retry_failed:
                    run.retry(jobs)
        except BaseException as error:
            with suppress(OutputError):  # the disk is full: that is what is on its way
                ledger.end("cancelled" if isinstance(error, KeyboardInterrupt) else "failed")
            raise
        report = run.report(done_since=len(plan.to_do) - len(jobs))
        with suppress(OutputError):  # told in the report, or worth no more than that
            ledger.end(report.status)
    return replace(report, gallery=_show(plan.folder, gallery))


def _show(folder: Path, gallery: Gallery | None) -> str:
    """Write the gallery if one is asked for; where it is, or why it is not there."""
    try:
        return str(gallery(folder)) if gallery else ""
    except OutputError as error:
        return f"no gallery: {error}"


class _Run:
    """A batch in progress."""

    def __init__(
        self,
        plan: BatchPlan,
        ledger: Ledger,
        crew: Crew,
        watch: Watch,
        gallery: Gallery | None,
    ) -> None:
        self._plan = plan
        self._ledger = ledger
        self._crew = crew
        self._watch = watch
        self._gallery = gallery
        self._outcomes: dict[str, Outcome] = {}
        self._notes: dict[str, None] = {}  # each once
        self._stopped = self._full = False
        self._shown_s = time.monotonic()

    def stop(self) -> None:
        self._stopped = True
        self._crew.stop()

    def perform(self, jobs: Sequence[Job]) -> None:
        for event in self._crew.perform(jobs):
            if isinstance(event, Outcome):
                event = self._settle(event)
            self._watch(event)

    def retry(self, jobs: Sequence[Job]) -> None:
        failed = {name for name, one in self._outcomes.items() if one.status == "failed"}
        if failed and not (self._stopped or self._full):
            self.perform([job for job in jobs if job.name in failed])

    def _settle(self, outcome: Outcome) -> Outcome:
        before = self._outcomes.get(outcome.name)
        if before:
            outcome = replace(outcome, attempts=before.attempts + outcome.attempts)
        self._outcomes[outcome.name] = outcome
        if outcome.hopeless:
            self._full = True
            self._crew.stop()
        try:
            self._ledger.note(outcome)
        except OutputError as error:  # it only tells of the runs: they go on
            self._notes[str(error)] = None
        if time.monotonic() - self._shown_s > _SHOW_EVERY_S:
            _show(self._plan.folder, self._gallery)
            self._shown_s = time.monotonic()
        return outcome

    def report(self, *, done_since: int) -> BatchReport:
        return BatchReport(
            self._plan,
            tuple(self._outcomes.values()),
            stopped=self._stopped,
            full=self._full,
            done_since=done_since,
            notes=tuple(self._notes),
        )


def crew_for(params: BatchParams, jobs: Sequence[Job]) -> Crew:
    """Who performs a batch: Ray's actors, worker processes, or this process."""
    if params.ray:
        from chatter_nb.batch.ray.executor import RayCrew

        return RayCrew(params, len(jobs))
    if min(params.workers, len(jobs)) > 1:
        return Workers(params.workers, visible_gpus() if any(map(uses_gpu, jobs)) else [])
    return Alone()
