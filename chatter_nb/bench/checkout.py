"""What git knows of the tree that is running, and another commit laid out beside it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chatter_nb.base.errors import InputError

PACKAGE = "chatter_nb"


def commit_of(tree: Path) -> tuple[str | None, bool]:
    """The commit that a tree is at, and whether its package differs; None outside a checkout."""
    try:
        _check(tree)
        commit = git(tree, "rev-parse", "HEAD")
        return commit, bool(git(tree, "status", "--porcelain", "--", PACKAGE))
    except InputError:
        return None, False


def _check(tree: Path) -> None:
    """Whether a tree is a checkout itself: an installed package may lie inside someone else's."""
    top = git(tree, "rev-parse", "--show-toplevel")
    if Path(top).resolve() != tree.resolve():
        raise InputError(f"it is part of {top}")


@contextmanager
def checked_out(tree: Path, ref: str) -> Iterator[tuple[Path, str]]:
    """A commit of a tree's repository in a temporary folder, which is removed again; its hash.

    The repository's own files and branch stay as they are. Raises `InputError` for a name that is
    no commit, and outside a checkout.
    """
    commit = _found(tree, ref)
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


def _found(tree: Path, ref: str) -> str:
    try:
        _check(tree)
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
    """What a git command prints. Raises `InputError` with what it says when it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(tree), *arguments], capture_output=True, encoding="utf-8"
        )
    except FileNotFoundError:
        raise InputError("git is not installed") from None
    if done.returncode:
        raise InputError(done.stderr.strip() or f"git {arguments[0]} failed")
    return done.stdout.strip()
