"""The parameter files, sample texts, recordings and notebooks that come with the package.

A wheel carries them as data (pyproject.toml maps params/ and notebooks/ into it); a clone has them
beside the package. Needs nothing but Python, so that a bare Colab runtime can lay them out.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from chatter_nb.base.errors import OutputError

KINDS = ("params", "notebooks")


def sample_folder(kind: str) -> Path | None:
    """Where the package keeps its `params` or `notebooks`; None where it came without them."""
    package = Path(__file__).parents[1]
    for folder in (package / "sample" / kind, package.parent / kind):
        if folder.is_dir():
            return folder
    return None


def lay_out(folder: str | Path) -> tuple[str, ...]:
    """Copy params/ and notebooks/ into a folder, each only where it is absent.

    Whatever is there stays as it is. Answers the names of what was laid out; raises `OutputError`
    if the folder cannot be written.
    """
    laid = []
    for kind in KINDS:
        source, target = sample_folder(kind), Path(folder) / kind
        if source is not None and not target.exists():
            _copy(source, target)
            laid.append(kind)
    return tuple(laid)


def _copy(source: Path, target: Path) -> None:
    """Whole or not at all: a half of it would never be completed later."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".samples-") as scratch:
            whole = Path(scratch) / target.name
            ignored = shutil.ignore_patterns("__pycache__", ".*", "*.py", "*.pyc", "*.toml")
            shutil.copytree(source, whole, ignore=ignored)
            os.replace(whole, target)
    except OSError as error:
        told = f"cannot lay out {target.name}/ in {target.parent}: {error.strerror or error}"
        raise OutputError(f"{told}; work in a folder that can be written") from error
