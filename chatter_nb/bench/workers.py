"""A process that times rounds on request, with the package of one tree: `rounds` as a program.

Every measurement is made in one: its peak of memory is its own, and nothing that a notebook loaded
before slows it. Synchronous: a request waits for its answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from chatter_nb.base.errors import EngineError, InputError
from chatter_nb.bench import rounds
from chatter_nb.bench.history import Round

CLOSING_S = 20  # for a warm kernel to end
_TOLD = 2000  # characters of what a process that died had to say


@dataclass(frozen=True)
class Work:
    """What is done in a round: see `rounds.one_round`. `fresh`: in a process of its own."""

    kind: str
    values: dict[str, Any]
    fresh: bool = False


def own_tree() -> Path:
    """The folder that holds the package which is running."""
    return Path(rounds.__file__).resolve().parents[2]


class Worker:
    """A long-lived process for one piece of work; a context manager, which ends it.

    `told` names the side in errors. Ctrl-C is this process's: the worker does not hear it, and is
    killed on the way out. What it writes lies in a temporary folder.
    """

    def __init__(self, work: Work, tree: Path, told: str = "ours") -> None:
        self._work = work
        self._tree = tree.resolve()
        self._told = told
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="chatter-nb-")
        return self

    def __exit__(self, *raised: object) -> None:
        try:
            self._end(at_once=raised[0] is not None)
        finally:
            self._folder.cleanup()

    def round(self) -> Round:
        """Do the work once. Raises `InputError` or `EngineError` with what the worker raised."""
        if self._process is None or self._work.fresh:
            self._end()
            self._start()
        request = {"kind": self._work.kind, "values": self._work.values}
        answer = self._ask(json.dumps(request | {"outputs": self._outputs}))
        if "error" in answer:
            kind = InputError if answer["exit_code"] == InputError.exit_code else EngineError
            raise kind(f"{self._told}: {answer['error']}")
        return Round(**answer["round"])

    @property
    def _errors(self) -> Path:
        return Path(self._folder.name) / "stderr"

    @property
    def _outputs(self) -> str:
        return str(Path(self._folder.name) / "outputs")

    def _start(self) -> None:
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, rounds.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
                env=_environment(self._tree),
                start_new_session=True,
            )
        package = Path(self._answer()["package"]).resolve()
        if not package.is_relative_to(self._tree):
            raise EngineError(f"{self._told}: imported {package}, which is not in {self._tree}")

    def _ask(self, line: str) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died: the missing answer says so
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        code = self._process.wait()
        last = self._errors.read_text(encoding="utf-8", errors="replace")[-_TOLD:].strip()
        raise EngineError(f"{self._told}: the process ended with {code}: {last or 'not a word'}")

    def _end(self, *, at_once: bool = False) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if at_once:
            process.kill()
        with suppress(BrokenPipeError, subprocess.TimeoutExpired):
            process.communicate(timeout=CLOSING_S)  # the end of its input is its end
        if process.poll() is None:
            process.kill()
            process.wait()


def _environment(tree: Path) -> dict[str, str]:
    """The same for all workers but for the package: threads, the order of sets, what is imported.

    Without the working directory on the path, which may hold yet another tree.
    """
    others = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join([str(tree), *([others] if others else [])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONHASHSEED": "0"}
