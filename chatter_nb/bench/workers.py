"""A process that times rounds with a tree's package, and what git knows of a tree.

The process runs `rounds` as a program. Every measurement is made in such a process: its peak of
memory is the work's alone, and nothing that a notebook loaded before slows it down.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from chatter_nb.base.errors import EngineError, InputError
from chatter_nb.bench import rounds
from chatter_nb.bench.history import Round

PACKAGE = "chatter_nb"
CLOSING_S = 20  # for a warm kernel to end
_LOG_CHARS = 2000  # of the end of what a dead process printed


@dataclass(frozen=True)
class Work:
    """What is done in a round: see `rounds.one_round`. `fresh`: a new process for each round."""

    kind: str
    values: dict[str, Any]
    fresh: bool = False


def own_tree() -> Path:
    """The folder that holds the package which is running."""
    return Path(rounds.__file__).resolve().parents[2]


class Worker:
    """A long-lived process for one piece of work; a context manager, which ends it.

    `name` names the side in errors. Ctrl-C reaches only the calling process, which kills the worker
    on the way out. The worker's outputs lie in a temporary folder.
    """

    def __init__(self, work: Work, tree: Path, name: str = "ours") -> None:
        self._work = work
        self._tree = tree.resolve()
        self._name = name
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="chatter-nb-")
        self._log = Path(self._folder.name) / "stderr"
        return self

    def __exit__(self, *raised: object) -> None:
        try:
            self._end(at_once=raised[0] is not None)
        finally:
            self._folder.cleanup()

    def round(self) -> Round:
        """Do the work once. Raises `InputError` or `EngineError` with the worker's message."""
        if self._process is not None and self._work.fresh:
            self._end()
        process = self._process or self._start()
        request = {
            "kind": self._work.kind,
            "values": self._work.values,
            "outputs": str(Path(self._folder.name) / "outputs"),
        }
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # the process died: `_answer` says so
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        answer = self._answer(process)
        if "error" in answer:
            kind = InputError if answer["exit_code"] == InputError.exit_code else EngineError
            raise kind(f"{self._name}: {answer['error']}")
        return Round(**answer["round"])

    def _start(self) -> subprocess.Popen[str]:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, rounds.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                env=_environment(self._tree),
                start_new_session=True,
            )
        package = Path(self._answer(self._process)["package"]).resolve()
        if not package.is_relative_to(self._tree):
            raise EngineError(f"{self._name}: imported {package}, which is not in {self._tree}")
        return self._process

    def _answer(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """The next line of the process. Raises `EngineError` if it ended instead."""
        assert process.stdout is not None
        line = process.stdout.readline()
        if line:
            return json.loads(line)
        code = process.wait()
        end = self._log.read_text(encoding="utf-8", errors="replace")[-_LOG_CHARS:].strip()
        raise EngineError(f"{self._name}: the process ended with {code}: {end or 'not a word'}")

    def _end(self, *, at_once: bool = False) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if at_once:
            process.kill()
        with suppress(BrokenPipeError, subprocess.TimeoutExpired):
            process.communicate(timeout=CLOSING_S)  # the process ends at the end of its input
        if process.poll() is None:
            process.kill()
            process.wait()


def _environment(tree: Path) -> dict[str, str]:
    """Equal for all workers but for the package: threads, the order of sets, what is imported.

    The working directory, which may hold yet another tree, is not on the import path.
    """
    others = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join([str(tree), *([others] if others else [])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONHASHSEED": "0"}


def commit_of(tree: Path) -> tuple[str | None, bool]:
    """A tree's commit, and whether its package differs; (None, False) outside a checkout."""
    try:
        _check_is_checkout(tree)
        commit = git(tree, "rev-parse", "HEAD")
        return commit, bool(git(tree, "status", "--porcelain", "--", PACKAGE))
    except InputError:
        return None, False


def _check_is_checkout(tree: Path) -> None:
    """Raises `InputError` for a folder inside a checkout, such as an installed package."""
    top = git(tree, "rev-parse", "--show-toplevel")
    if Path(top).resolve() != tree.resolve():
        raise InputError(f"it is part of {top}")


@contextmanager
def checked_out(tree: Path, ref: str) -> Iterator[tuple[Path, str]]:
    """Check a commit of a tree's repository out into a temporary folder, removed after the block.

    Yields the folder and the commit's hash. The repository's own files and branch do not change.
    Raises `InputError` for a name that is no commit, and outside a checkout.
    """
    commit = _commit_named(tree, ref)
    with tempfile.TemporaryDirectory(prefix="chatter-nb-baseline-") as folder:
        place = Path(folder) / "tree"
        # Without hooks: they are the owner's, for the owner's own checkouts.
        quiet = ("-c", "core.hooksPath=/dev/null", "worktree", "add", "--quiet", "--detach")
        try:
            git(tree, *quiet, str(place), commit)
            yield place, commit
        finally:
            with suppress(InputError):  # it was never added
                git(tree, "worktree", "remove", "--force", str(place))


def _commit_named(tree: Path, ref: str) -> str:
    try:
        _check_is_checkout(tree)
    except InputError as error:
        raise InputError(f"--baseline needs a git checkout, and {tree} is none: {error}") from error
    try:
        return git(
            tree, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
        )
    except InputError:
        raise InputError(
            f"--baseline {ref!r} is no commit of {tree}: give a hash, a tag, a branch or HEAD~1"
        ) from None


def git(tree: Path, *arguments: str) -> str:
    """What a git command prints. Raises `InputError` with git's message when it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(tree), *arguments], capture_output=True, encoding="utf-8"
        )
    except FileNotFoundError:
        raise InputError("git is not installed") from None
    if done.returncode:
        raise InputError(done.stderr.strip() or f"git {arguments[0]} failed")
    return done.stdout.strip()
