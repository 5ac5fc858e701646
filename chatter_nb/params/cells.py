"""Which names a notebook's parameters cells assigned, read from the source of the cells."""

from __future__ import annotations

import ast
from collections.abc import Sequence


def cell_names(sources: Sequence[str], fields: set[str]) -> tuple[set[str], set[str]]:
    """The names that the parameters cells assigned, and those of them that Papermill injected.

    `sources` are the cells that ran, in order; `fields` are the known parameters. Papermill begins
    its cell with `# Parameters`; the notebook's own cell is recognised by the fields that it
    assigns. If that cell runs again, earlier names are forgotten.
    """
    named: set[str] = set()
    injected: set[str] = set()
    for source in sources:
        names = assigned(source)
        if source.startswith("# Parameters\n"):
            injected |= names
        elif len(names & fields) > max(2, len(names) / 2):
            injected.clear()
            named.clear()
        else:
            continue
        named |= names
    return named, injected


def assigned(source: str) -> set[str]:
    """The names that a cell assigns; none if its source is not plain Python."""
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # magics; nested without end
        return set()
    plain = [target for s in statements if isinstance(s, ast.Assign) for target in s.targets]
    targets = plain + [s.target for s in statements if isinstance(s, ast.AnnAssign)]
    return {target.id for target in targets if isinstance(target, ast.Name)}
