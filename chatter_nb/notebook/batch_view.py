"""Shows a batch to a person: progress bars, a table of its runs, its failures, a gallery link."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chatter_nb.batch.executors import Started
from chatter_nb.batch.run import BatchReport
from chatter_nb.batch.tasks import FAILED_NOTEBOOK, Outcome
from chatter_nb.pages.doubts import is_checked
from chatter_nb.pages.players import link_from, note, page, table
from chatter_nb.runs.folder import NOTEBOOK, RunFolder

if TYPE_CHECKING:
    from IPython.display import HTML

    from chatter_nb.batch.plan import BatchPlan

Event = Started | Outcome
_PLAN_DELAY_S = 2


def batch_bar(
    plan: BatchPlan, *, interactive: bool = True, lines: bool | None = None
) -> Callable[[Event], None]:
    """Return a function for `on_event=` that shows a bar: failures, RTF, workers, time left.

    There is no bar if `interactive` is false, or without a terminal and a notebook. `lines`: also
    print a line for each run that ends; None prints the lines only if there is no bar.
    """
    from tqdm import tqdm

    hidden = not (interactive and _watched())
    lines = hidden if lines is None else lines
    bar = tqdm(total=len(plan.to_do), unit="run", disable=hidden, ncols=100)
    running: dict[str, str] = {}
    done: list[Outcome] = []

    def update(event: Event) -> None:
        if isinstance(event, Started):
            running[event.name] = event.worker
        else:
            running.pop(event.name, None)
            repeated = event.name in {outcome.name for outcome in done}
            done.append(event)
            if lines:
                bar.write(outcome_line(event))
            bar.update(0 if repeated else 1)
        bar.set_postfix_str(_postfix(done, running))
        if bar.n == bar.total and not running:
            bar.close()

    return update


def planning_bar(*, interactive: bool = True) -> Callable[[int, int, str], None]:
    """Return a function for `on_progress=` of `plan_batch`: a bar, after two seconds of work."""
    from tqdm import tqdm

    hidden = not (interactive and _watched())
    bar = tqdm(unit="run", desc="checking", delay=_PLAN_DELAY_S, disable=hidden)

    def update(done: int, total: int, name: str) -> None:
        bar.total = total
        bar.set_postfix_str(name, refresh=False)
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return update


def _watched() -> bool:
    """Return if a person can see a bar."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def outcome_line(outcome: Outcome) -> str:
    """Return a line about a run that has ended."""
    if outcome.status == "ok":
        pace = f", RTF {outcome.rtf:.2g}" if outcome.rtf else ""
        return f"{outcome.name}: done, {outcome.audio_s or 0:.1f} s of audio{pace}"
    end = "FAILED" if outcome.status == "failed" else "stopped"
    reason = next(iter((outcome.error or "").splitlines()), "")
    return f"{outcome.name}: {end}: {reason}"


def _postfix(done: list[Outcome], running: dict[str, str]) -> str:
    failed = sum(outcome.status == "failed" for outcome in done)
    audio_s = sum(outcome.audio_s or 0 for outcome in done)
    work_s = sum(outcome.wall_s for outcome in done if outcome.audio_s)
    parts = [f"{failed} failed"] if failed else []
    parts += [f"RTF {work_s / audio_s:.2g}"] if audio_s else []
    parts += [" ".join(running)] if running else []
    return ", ".join(parts)


def batch_table(report: BatchReport) -> HTML:
    """Return a table of a batch's runs: state before and now, audio, work, RTF and notebook.

    If any run was checked, it also has the number of chunks in doubt.
    """
    outcomes = {outcome.name: outcome for outcome in report.outcomes}
    rows = [
        _row(report, entry.task.name, entry.state, outcomes.get(entry.task.name))
        for entry in report.plan.entries
    ]
    names = ["run", "before", "now", "audio", "work", "RTF", "check", "pages"]
    columns = list(zip(names, *rows, strict=True))
    shown = [column for column in columns if column[0] != "check" or any(column[1:])]
    heading, *body = zip(*shown, strict=True)
    return page(table(heading, body))


def _row(report: BatchReport, name: str, before: str, outcome: Outcome | None) -> Sequence[str]:
    folder = report.plan.folder / name
    now = outcome.status if outcome else ("" if before == "done" else "not begun")
    notebook = folder / (FAILED_NOTEBOOK if outcome and outcome.status != "ok" else NOTEBOOK)
    return [
        html.escape(name),
        before,
        now,
        f"{outcome.audio_s:.1f} s" if outcome and outcome.audio_s else "",
        f"{outcome.wall_s:.1f} s" if outcome else "",
        f"{outcome.rtf:.2g}" if outcome and outcome.rtf else "",
        _doubtful(folder) if now in ("", "ok") else "",
        _link(notebook, "notebook") if notebook.exists() else "",
    ]


def _doubtful(folder: Path) -> str:
    """Return "2 doubtful of 40 checked" of a finished run; "" if it was not checked."""
    record = RunFolder(folder).record()
    checks = record.checks if record and is_checked(record) else None
    return f"{checks.doubtful} doubtful of {checks.checked} checked" if checks else ""


def failures(report: BatchReport) -> HTML:
    """Return the errors of failed runs with their tracebacks; a line if no run failed."""
    failed = report.of("failed")
    if not failed:
        return note("no run failed")
    return page(*map(_failure, failed))


def _failure(outcome: Outcome) -> str:
    trace = f"<pre>{html.escape(outcome.traceback)}</pre>" if outcome.traceback else ""
    line = f"<b>{html.escape(outcome.name)}</b>: {html.escape(outcome.error or '')}"
    return f"<details><summary>{line}</summary>{trace}</details>" if trace else f"<p>{line}</p>"


def gallery_link(report: BatchReport) -> HTML:
    """Return a link to the gallery of the batch."""
    path = Path(report.gallery)
    if not path.is_file():
        return note(report.gallery)
    return page(f"<p>{_link(path, 'the gallery')}: <code>{html.escape(str(path))}</code></p>")


def _link(path: Path, label: str) -> str:
    """Return a link that works from the working directory, where the notebook is."""
    return f'<a href="{html.escape(link_from(path, Path.cwd()))}">{label}</a>'
