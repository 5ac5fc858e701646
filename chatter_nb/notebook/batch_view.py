"""Shows a batch to a person: progress bars, a table of its runs, its failures, their players."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatter_nb.base.project import shown_path
from chatter_nb.batch.executors import Started
from chatter_nb.batch.run import BatchReport
from chatter_nb.batch.tasks import FAILED_NOTEBOOK, Outcome
from chatter_nb.notebook import show
from chatter_nb.pages.doubts import is_checked
from chatter_nb.pages.players import link_from, page, table
from chatter_nb.runs.folder import NOTEBOOK, RECORD, RunFolder
from chatter_nb.runs.speech import load_speech

if TYPE_CHECKING:
    from IPython.display import HTML

    from chatter_nb.batch.plan import BatchPlan

Event = Started | Outcome
MAX_PLAYERS = 12  # the gallery has them all
_PLAN_DELAY_S = 2


def batch_bar(
    plan: BatchPlan, *, interactive: bool = True, lines: bool | None = None
) -> Callable[[Event], None]:
    """Return a function for `on_event=` that shows a bar: failures, RTF, workers, time left.

    There is no bar if `interactive` is false, or without a terminal and a notebook. `lines`: also
    print a line for each run that ends; None prints the lines only if there is no bar.
    """
    bar = _bar(interactive and bool(plan.to_do), total=len(plan.to_do))
    lines = bar.disable if lines is None else lines
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
    bar = _bar(interactive, desc="checking", delay=_PLAN_DELAY_S)

    def update(done: int, total: int, name: str) -> None:
        bar.total = total
        bar.set_postfix_str(name, refresh=False)
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return update


def _bar(interactive: bool, **options: Any) -> Any:
    """Return a bar of runs, in the cell of a notebook or in a terminal; hidden elsewhere."""
    from tqdm import tqdm

    in_cell = "ipykernel" in sys.modules
    hidden = not (interactive and (in_cell or sys.stderr.isatty()))
    file = _CellText() if in_cell else sys.stderr
    return tqdm(unit="run", file=file, disable=hidden, ncols=70, **options)


class _CellText:
    """A file for tqdm whose last line stands in a cell. On stderr it would leave a red band."""

    encoding = "utf-8"  # else tqdm draws with #
    _shown: Any = None

    def write(self, text: str) -> None:
        from IPython.display import display

        if not text.strip():
            return
        if self._shown is None:
            self._shown = display(display_id=True)
        self._shown.update({"text/plain": text.strip()}, raw=True)

    def flush(self) -> None:
        """Do nothing: each line is shown at once."""


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


def listen(report: BatchReport) -> HTML:
    """Return players of finished runs, up to `MAX_PLAYERS`, and a link to the gallery of them all.

    Their audio is linked, as seen from the working directory and from the folder of the batch.
    """
    folders = [report.plan.folder / entry.task.name for entry in report.plan.entries]
    speeches = [load_speech(path) for path in folders if (path / RECORD).is_file()]
    outputs = [(s, o) for s in speeches if s.record.status == "ok" for o in s.record.outputs]
    starts = (Path.cwd(), report.plan.folder)
    players = [show.linked_player(*output, starts) for output in outputs[:MAX_PLAYERS]]
    more = f"{len(outputs) - len(players)} more are in " if len(outputs) > len(players) else ""
    path = Path(report.gallery)
    if not path.is_file():
        return page(*players, f"<p>{html.escape(report.gallery)}</p>")
    place = html.escape(shown_path(path))
    return page(*players, f"<p>{more}{_link(path, 'the gallery')}: <code>{place}</code></p>")


def _link(path: Path, label: str) -> str:
    """Return a link that works from the working directory, where the notebook is."""
    return f'<a href="{html.escape(link_from(path, Path.cwd()))}">{label}</a>'
