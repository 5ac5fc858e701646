"""Runs the checks of the self-test within its minutes, and writes its page and its JSON.

Both files are written after every check: whatever ends the process, what was found is there.
"""

from __future__ import annotations

import contextlib
import math
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from chatter_nb.base.disk import write_json, write_whole, writing
from chatter_nb.base.errors import Cancelled, UnavailableError
from chatter_nb.base.project import resolve_path
from chatter_nb.base.wording import count
from chatter_nb.base.wording import minutes as in_words
from chatter_nb.bench.harness import as_text
from chatter_nb.bench.params import Progress
from chatter_nb.bench.selftest import sound, tokens, words
from chatter_nb.bench.selftest.machine import anonymous, machine
from chatter_nb.bench.selftest.result import OUTCOMES, TELL, NotRun, Result
from chatter_nb.bench.selftest.subject import Subject, choose
from chatter_nb.pages.players import asset
from chatter_nb.pages.template import render

FOLDER, PAGE, RECORD = "selftest", "selftest.html", "selftest.json"
_CHUNK_S = 4.0  # of speech, of a sentence
_scratch = partial(tempfile.TemporaryDirectory, prefix="chatter-nb-")


@dataclass(frozen=True)
class Check:
    """A check, the seconds of speech that it makes on all sides together, and what it needs.

    `needs` are names of `Subject.check_needs`.
    """

    name: str
    run: Callable[[Subject], Result]
    speech_s: float = 0.0
    needs: tuple[str, ...] = ()


def _decoding(name: str, run: Callable[[Subject], Result], chunks: int, *needs: str) -> Check:
    return Check(name, run, chunks * tokens.TOKENS / 25, ("tokens", *needs))


def _pace(rows: int) -> Check:
    name, needs = f"pace with {count(rows, 'row')}", ("rows",) if rows > 1 else ()
    return Check(name, partial(sound.pace, rows=rows), rows * _CHUNK_S, needs)


# The most important first: what does not fit into the minutes is not run.
CHECKS = (
    _decoding("tokens beside upstream's", tokens.beside_upstream, 2 * tokens.CHUNKS),
    _decoding("tokens past the size of the cache", tokens.growing_cache, tokens.CHUNKS + 1),
    _decoding("graphs on and off", tokens.graphs, tokens.CHUNKS, "cuda"),
    _decoding("out of memory under a cap", tokens.out_of_memory, tokens.MANY_ROWS, "cuda"),
    Check("same seed in two processes", sound.two_processes, 2 * _CHUNK_S),
    Check("watermark", sound.watermark, 2 * _CHUNK_S, ("watermark",)),
    Check("first sound", sound.first_sound, _CHUNK_S),
    Check("samples beside upstream's", sound.samples_beside_upstream, 2 * _CHUNK_S, ("tokens",)),
    *map(_pace, sound.ROWS[:2]),
    Check("conversion", words.conversion, words.SOURCE_S),
    Check("word errors", words.word_errors, words.SENTENCES * _CHUNK_S, ("words", "recogniser")),
    *map(_pace, sound.ROWS[2:]),
    Check("peak memory", sound.peak_memory),
)


def selftest(
    engine: str = "auto",
    device: str = "auto",
    checkpoint: str = "",
    precision: str = "auto",
    minutes: float = 10.0,
    outputs_dir: str = "outputs",
    on_progress: Progress = lambda message: None,
) -> dict[str, Any]:
    """Run all checks; returns the report, which lies in `outputs_dir/selftest` too.

    Raises `UnavailableError` for an engine that is not here, `OutputError` if the folder cannot be
    written, and `Cancelled` after Ctrl-C; the files then hold what was found.
    """
    started_s, folder = time.monotonic(), resolve_path(outputs_dir) / FOLDER
    # Upstream prints while it loads, and standard output may be for machines.
    with _scratch() as scratch, contextlib.redirect_stdout(sys.stderr):
        subject = Subject(choose(engine, device, checkpoint, precision), Path(scratch))
        report = _begun(subject, minutes)
        _write(folder, report)
        try:
            for result in _results(subject, started_s + minutes * 60, on_progress):
                report["checks"].append(anonymous(asdict(result)))
                report["spent_s"] = time.monotonic() - started_s
                _write(folder, report)
        except KeyboardInterrupt:
            done = len(report["checks"])
            left = [Result("not run", "interrupted", name=check.name) for check in CHECKS[done:]]
            report["checks"] += map(asdict, left)
            _write(folder, report | {"status": "cancelled"})
            raise Cancelled(
                f"interrupted after {done} of {len(CHECKS)} checks: {folder / PAGE}"
            ) from None
    has_failed = any(check["outcome"] == "does not hold" for check in report["checks"])
    report["status"] = "failed" if has_failed else "ok"
    _write(folder, report)
    return report


def _begun(subject: Subject, minutes: float) -> dict[str, Any]:
    settled = subject.settled
    about = {
        "engine": settled.engine.name,
        "engine_reason": settled.engine.reason,
        "weights": subject.weights,
        "device": settled.device.name,
        "device_reason": settled.device.reason,
        "precision": settled.precision.name,
    }
    return {
        "schema": 1,
        "status": "running",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "minutes": minutes,
        "spent_s": 0.0,
        "subject": anonymous(about),
        "machine": machine(),
        "checks": [],
    }


def _results(subject: Subject, ends_s: float, on_progress: Progress) -> Iterator[Result]:
    """The checks' answers; a check that would end after `ends_s` (monotonic) is not run."""
    for number, check in enumerate(CHECKS, start=1):
        began_s = time.monotonic()
        needed_s = subject.forecast_s(check.speech_s)
        on_progress(f"{number} of {len(CHECKS)}: {check.name}, {in_words(needed_s)}")
        result = _result(check, subject, needed_s, ends_s)
        on_progress(f"   {result.outcome}: {result.why}")
        yield replace(result, name=check.name, spent_s=time.monotonic() - began_s)


def _result(check: Check, subject: Subject, needed_s: float, ends_s: float) -> Result:
    """The check's answer. Whatever it raises is its failure, and ends no other check."""
    try:
        subject.check_needs(check.needs)
        missing_s = time.monotonic() + needed_s - ends_s
        if missing_s > 0:
            cure = f"{math.ceil(missing_s / 60)} more --minutes"
            raise NotRun(f"out of time: it takes {in_words(needed_s)}", cure)
        if "tokens" not in check.needs:
            subject.release()
        return check.run(subject)
    except NotRun as reason:
        return Result("not run", str(reason), reason.cure)
    except UnavailableError as error:  # the cure is in its message
        return Result("not run", str(error))
    except Exception as error:  # a check must not hide the others
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}, {frame.name}"
        why = f"{type(error).__name__}: {error}"
        return Result("does not hold", why, TELL, {"raised_at": place})


def _write(folder: Path, report: dict[str, Any]) -> None:
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RECORD, report)
    write_whole(folder / PAGE, _page(report).encode())


def summary(report: dict[str, Any], folder: Path) -> str:
    """The report for a terminal: the headline, what does not hold, and where the page is."""
    failed = [check for check in report["checks"] if check["outcome"] == "does not hold"]
    lines = [f"{check['name']}: {check['why']}\n  {check['cure']}" for check in failed]
    return "\n".join([headline(report), *lines, str(folder / FOLDER / PAGE)])


def headline(report: Mapping[str, Any]) -> str:
    """ "1 fails, 10 hold, 4 not run", of the checks so far."""
    numbers = Counter(check["outcome"] for check in report["checks"])
    failed, held, skipped = (numbers[outcome] for outcome in OUTCOMES)
    verdict = f"{failed} fail{'s' if failed == 1 else ''}," if failed else "Nothing fails:"
    return f"{verdict} {held} hold{'s' if held == 1 else ''}, {skipped} not run"


def _page(report: Mapping[str, Any]) -> str:
    """One file without scripts: first what does not hold, then the rest."""
    checks: dict[str, list[Any]] = {outcome: [] for outcome in OUTCOMES}
    for check in report["checks"]:
        checks[check["outcome"]].append(check)
    return render(
        "selftest.html",
        report=report,
        headline=headline(report),
        checks=checks,
        style=asset("page.css") + asset("selftest.css"),
        as_text=as_text,
        minutes=in_words,
    )
