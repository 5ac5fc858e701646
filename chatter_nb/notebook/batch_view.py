"""A batch for people: its progress bar, its table, its failures, the way to its gallery."""

from __future__ import annotations

import html
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from chatter_nb.batch.executors import Started
from chatter_nb.batch.run import BatchReport
from chatter_nb.batch.tasks import FAILED_NOTEBOOK, Outcome
from chatter_nb.runs.record import NOTEBOOK

if TYPE_CHECKING:
    from IPython.display import HTML

    from chatter_nb.batch.plan import BatchPlan

Event = Started | Outcome
_PLAN_DELAY_S = 2


def batch_bar(
    plan: BatchPlan, *, interactive: bool = True, lines: bool | None = None
) -> Callable[[Event], None]:
    """A bar over a batch's runs for `watch=`: counts, the run in hand, time left, RTF.

    `lines`: one for each run that ends. Without a word on them, they are what is shown where nobody
    watches: `interactive` is false, or there is neither terminal nor notebook.
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
            again = event.name in {one.name for one in done}
            done.append(event)
            if lines:
                bar.write(outcome_line(event))
            bar.update(0 if again else 1)
        bar.set_postfix_str(_postfix(done, running))
        if bar.n == bar.total and not running:
            bar.close()

    return update


def planning_bar(*, interactive: bool = True) -> Callable[[int, int, str], None]:
    """A bar for `plan_batch`'s `watch`: shown only if looking at the runs takes a while."""
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
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def outcome_line(outcome: Outcome) -> str:
    """A run's end in a line."""
    if outcome.status == "ok":
        pace = f", RTF {outcome.rtf:.2g}" if outcome.rtf else ""
        return f"{outcome.name}: done, {outcome.audio_s or 0:.1f} s of audio{pace}"
    told = (outcome.error or "").splitlines() or [""]
    return f"{outcome.name}: {'FAILED' if outcome.status == 'failed' else 'stopped'}: {told[0]}"


def _postfix(done: list[Outcome], running: dict[str, str]) -> str:
    failed = sum(outcome.status == "failed" for outcome in done)
    audio_s = sum(outcome.audio_s or 0 for outcome in done)
    work_s = sum(outcome.wall_s for outcome in done if outcome.audio_s)
    told = [f"{failed} failed"] if failed else []
    told += [f"RTF {work_s / audio_s:.2g}"] if audio_s else []
    told += [" ".join(running)] if running else []
    return ", ".join(told)


def batch_table(report: BatchReport) -> HTML:
    """Each run of a batch: whether it was done, its audio, its pace, its pages."""
    from IPython.display import HTML

    outcomes = {outcome.name: outcome for outcome in report.outcomes}
    rows = []
    for entry in report.plan.entries:
        outcome = outcomes.get(entry.job.name)
        rows.append(_row(report, entry.job.name, entry.state, outcome))
    header = "".join(
        f'<th style="text-align:left">{name}</th>'
        for name in ("run", "before", "now", "audio", "work", "RTF", "pages")
    )
    return HTML(f"<table><thead><tr>{header}</tr></thead><tbody>{''.join(rows)}</tbody></table>")


def _row(report: BatchReport, name: str, before: str, outcome: Outcome | None) -> str:
    folder = report.plan.folder / name
    now = outcome.status if outcome else ("" if before == "done" else "not begun")
    pages = folder / (FAILED_NOTEBOOK if outcome and outcome.status != "ok" else NOTEBOOK)
    cells = [
        html.escape(name),
        before,
        now,
        f"{outcome.audio_s:.1f} s" if outcome and outcome.audio_s else "",
        f"{outcome.wall_s:.1f} s" if outcome else "",
        f"{outcome.rtf:.2g}" if outcome and outcome.rtf else "",
        _link(pages, "notebook") if pages.exists() else "",
    ]
    return "<tr>" + "".join(f'<td style="text-align:left">{cell}</td>' for cell in cells) + "</tr>"


def failures(report: BatchReport) -> HTML:
    """Why runs failed, with their tracebacks; a line if none did."""
    from IPython.display import HTML

    failed = report.of("failed")
    if not failed:
        return HTML("<p>no run failed</p>")
    return HTML("".join(map(_failure, failed)))


def _failure(outcome: Outcome) -> str:
    trace = f"<pre>{html.escape(outcome.traceback)}</pre>" if outcome.traceback else ""
    told = f"<b>{html.escape(outcome.name)}</b>: {html.escape(outcome.error or '')}"
    return f"<details><summary>{told}</summary>{trace}</details>" if trace else f"<p>{told}</p>"


def gallery_link(report: BatchReport) -> HTML:
    """A link to the page on which the runs can be listened through."""
    from IPython.display import HTML

    page = Path(report.gallery)
    if not page.is_file():
        return HTML(f"<p>{html.escape(report.gallery)}</p>")
    return HTML(f"<p>{_link(page, 'the gallery')}: <code>{html.escape(str(page))}</code></p>")


def _link(path: Path, told: str) -> str:
    """From the working directory, where JupyterLab shows it and an executed notebook lies."""
    return f'<a href="{html.escape(quote(Path(os.path.relpath(path)).as_posix()))}">{told}</a>'
