"""Performs a planned batch: an executor performs the tasks, and every outcome is recorded.

    plan = plan_batch(BatchParams(files=("params/batch/*.yaml",)))
    report = run_batch(plan)

To resume a batch that was killed or stopped, run it again: finished runs are left alone, and a run
that had begun continues from its kept chunks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from chatter_nb.base.errors import ChatterError, OutputError
from chatter_nb.base.interrupts import on_interrupt
from chatter_nb.base.project import shown_path
from chatter_nb.batch.executors import (
    Executor,
    ProcessExecutor,
    SerialExecutor,
    Started,
    uses_gpu,
    visible_gpus,
)
from chatter_nb.batch.params import BatchParams
from chatter_nb.batch.plan import BatchPlan, plan_batch
from chatter_nb.batch.record import BatchRecord
from chatter_nb.batch.tasks import Outcome, Status, Task

__all__ = ["BatchParams", "BatchPlan", "BatchReport", "executor_for", "plan_batch", "run_batch"]

_SHOW_EVERY_S = 60.0  # a page of 500 runs takes under a second once their waveforms are kept

OnEvent = Callable[[Started | Outcome], object]
Gallery = Callable[[Path], Path]


class BatchError(ChatterError):
    """Raised by `BatchReport.check` for a batch in which runs failed."""


@dataclass(frozen=True)
class BatchReport:
    """The result of a batch, with an outcome for each run that was begun; `str` makes it text."""

    plan: BatchPlan
    outcomes: tuple[Outcome, ...]
    stopped: bool = False  # a person stopped it
    disk_full: bool = False
    done_since: int = 0  # runs that another batch finished after this batch was planned
    notes: tuple[str, ...] = ()
    gallery: str = ""  # its path, or why there is none

    def of(self, status: Status) -> list[Outcome]:
        """The outcomes that have this status."""
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
        """Raise `BatchError` with the reason of every failure, if a run failed."""
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
        lines = [", ".join(f"{number} {label}" for label, number in numbers.items() if number)]
        lines += [f"  FAILED {outcome.name}: {outcome.error}" for outcome in self.of("failed")]
        if self.disk_full:
            lines.append("the disk is full: make room; the batch goes on where it stopped")
        lines += [f"note: {note}" for note in self.notes]
        if self.not_begun or self.status != "ok":
            lines.append("the same batch again goes on with what is not done")
        if self.gallery:
            lines.append(f"to listen through: {shown_path(self.gallery)}")
        return "\n".join(line for line in lines if line)


def run_batch(
    plan: BatchPlan,
    on_event: OnEvent = lambda event: None,
    *,
    executor: Executor | None = None,
    echo: bool = False,
    gallery: Gallery | None = None,
) -> BatchReport:
    """Perform the runs of a plan that are not done. A run that fails does not stop the others.

    `on_event` is called when a run begins and when it ends. `echo` shows what cells print.
    `gallery` writes a page over the folder and returns its path; it is called every minute and at
    the end. The first Ctrl-C lets the running runs finish their chunk; the second raises
    `KeyboardInterrupt`. Raises `OutputError` if another batch is running in the folder, or if the
    folder cannot be written.
    """
    record = BatchRecord(plan.folder)
    with ExitStack() as stack:
        stack.enter_context(record.locked())
        waiting = [entry.task for entry in plan.to_do if not entry.task.is_done()]
        tasks = [replace(task, echo=echo) for task in waiting]
        record.begin(plan.notebook.name, plan.engines, {task.name: task.key for task in tasks})
        executor = stack.enter_context(executor or executor_for(plan.params, tasks))
        run = _Run(plan, record, executor, on_event, gallery)
        try:
            with on_interrupt(run.stop):
                run.perform(tasks)
                if plan.params.retry_failed:
                    run.retry(tasks)
        except BaseException as error:
            with suppress(OutputError):  # the disk is full: `error` says so already
                record.end("cancelled" if isinstance(error, KeyboardInterrupt) else "failed")
            raise
        report = run.report(done_since=len(plan.to_do) - len(tasks))
        with suppress(OutputError):  # the runs count, and their folders are written
            record.end(report.status)
    return replace(report, gallery=_show(plan.folder, gallery))


def _show(folder: Path, gallery: Gallery | None) -> str:
    """Write the gallery if there is a function for it; returns its path, or why there is none."""
    try:
        return str(gallery(folder)) if gallery else ""
    except OutputError as error:
        return f"no gallery: {error}"


@dataclass
class _Run:
    """A batch in progress."""

    plan: BatchPlan
    record: BatchRecord
    executor: Executor
    on_event: OnEvent
    gallery: Gallery | None
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # by the name of the run
    notes: list[str] = field(default_factory=list)
    stopped: bool = False
    disk_full: bool = False
    shown_s: float = field(default_factory=time.monotonic)  # when the gallery was written last

    def stop(self) -> None:
        self.stopped = True
        self.executor.stop()

    def perform(self, tasks: Sequence[Task]) -> None:
        for event in self.executor.perform(tasks):
            self.on_event(self._noted(event) if isinstance(event, Outcome) else event)

    def retry(self, tasks: Sequence[Task]) -> None:
        failed = {name for name, outcome in self.outcomes.items() if outcome.status == "failed"}
        if failed and not (self.stopped or self.disk_full):
            self.perform([task for task in tasks if task.name in failed])

    def _noted(self, outcome: Outcome) -> Outcome:
        """Note an outcome; returns it with the attempts of both tries if it is the second."""
        before = self.outcomes.get(outcome.name)
        if before:
            outcome = replace(outcome, attempts=before.attempts + outcome.attempts)
        self.outcomes[outcome.name] = outcome
        if outcome.disk_full:
            self.disk_full = True
            self.executor.stop()
        try:
            self.record.note(outcome)
        except OutputError as error:  # only the record suffers: the runs continue
            self.notes.append(str(error))
        if time.monotonic() - self.shown_s > _SHOW_EVERY_S:
            _show(self.plan.folder, self.gallery)
            self.shown_s = time.monotonic()
        return outcome

    def report(self, *, done_since: int) -> BatchReport:
        return BatchReport(
            self.plan,
            tuple(self.outcomes.values()),
            self.stopped,
            self.disk_full,
            done_since,
            tuple(dict.fromkeys(self.notes)),
        )


def executor_for(params: BatchParams, tasks: Sequence[Task]) -> Executor:
    """The executor for a batch: Ray's actors, worker processes, or this process."""
    if params.ray:
        from chatter_nb.batch.ray.executor import RayExecutor

        return RayExecutor(params, len(tasks))
    if min(params.workers, len(tasks)) > 1:
        return ProcessExecutor(params.workers, visible_gpus() if any(map(uses_gpu, tasks)) else [])
    return SerialExecutor()
