"""How a parameter names some of a table: `auto`, `none`, a list, or `-name`."""

from __future__ import annotations

from collections.abc import Collection

from chatter_nb.base.errors import InputError, shown


def choose(
    param: str, chosen: str, known: Collection[str], auto: Collection[str], none: str = "none"
) -> tuple[frozenset[str], bool]:
    """The names that are chosen, and whether a list names any. Raises `InputError`."""
    parts = {part.strip() for part in chosen.split(",") if part.strip()}
    without = {part[1:].strip() for part in parts if part.startswith("-")}
    listed = {part for part in parts if not part.startswith("-")} - {"auto"}
    if unknown := sorted((without | listed - {none}).difference(known)):
        raise InputError(
            f"{param}: {shown(unknown[0])} is not among {', '.join(known)}; or write auto, {none}, "
            "or -name for all of auto but that"
        )
    names = frozenset(listed or auto) - without - {none}
    return names, bool(listed & names)
