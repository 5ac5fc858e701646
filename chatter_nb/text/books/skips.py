"""The one table of what is left out of documents: by `epub:type`, role, and a few class names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from chatter_nb.base.errors import InputError, shown
from chatter_nb.base.wording import count
from chatter_nb.text.books.document import Skipped


@dataclass(frozen=True)
class SkipKind:
    """A kind of part that is not read aloud; `types` are of epub:type, and of roles after "doc-".

    `classes` are only those that mean nothing else: EPUB 2 has no types. `auto`: left out unless
    the parameter `skip` says otherwise.
    """

    types: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    auto: bool = True


KINDS = {
    "notes": SkipKind(
        ("footnote", "footnotes", "endnote", "endnotes", "rearnote", "rearnotes"),
        ("footnote", "footnotes", "endnote", "endnotes"),
    ),
    "note marks": SkipKind(
        ("noteref", "backlink"), ("noteref", "footnote-ref", "footnote-reference", "fnanchor")
    ),
    "page numbers": SkipKind(
        ("pagebreak", "page-list", "pagelist"), ("pagenum", "pageno", "x-ebookmaker-pageno")
    ),
    "contents": SkipKind(("toc", "toc-brief", "loa", "loi", "lot", "lov"), ("sphinxsidebartoc",)),
    "landmarks": SkipKind(("landmarks",)),
    "index": SkipKind(("index",)),
    "nonlinear": SkipKind(),  # documents outside the reading order
    "ruby": SkipKind(),  # readings beside their characters
    "headers": SkipKind(),  # of a web page: navigation, head, foot, what stands aside
    "running heads": SkipKind(),  # of a PDF, with page numbers
    "asides": SkipKind(("sidebar", "pullquote"), auto=False),
    "bibliography": SkipKind(("bibliography",), auto=False),
}
AUTO = frozenset(name for name, kind in KINDS.items() if kind.auto)
_BY_TYPE = {word: name for name, kind in KINDS.items() for word in kind.types}
_BY_CLASS = {word: name for name, kind in KINDS.items() for word in kind.classes}


def choose_names(
    field: str, chosen: str, names: Iterable[str], auto: frozenset[str]
) -> frozenset[str]:
    """The names that a parameter chooses: `auto`, `none`, a list, or `-name`: auto without it.

    Raises `InputError` for an unknown name.
    """
    parts = [part.strip() for part in chosen.split(",") if part.strip()] or ["auto"]
    if parts == ["none"]:
        return frozenset()
    known = list(names)
    without = {part[1:].strip() for part in parts if part.startswith("-")}
    listed = {part for part in parts if not part.startswith("-")} - {"auto"}
    if unknown := sorted((without | listed) - set(known)):
        raise InputError(
            f"{field}: {shown(unknown[0])} is not among {', '.join(known)}; or write auto, none, "
            "or -name for all of auto but that"
        )
    return (frozenset(listed) if listed else auto) - without


def in_words(skipped: Iterable[Skipped]) -> str:
    """What is skipped, by its kinds: "skipped: 12 × notes (340 words)"; "" for nothing."""
    words: dict[str, list[int]] = {}
    for part in skipped:
        words.setdefault(part.kind, []).append(part.words)
    listed = (f"{len(n)} × {kind} ({count(sum(n), 'word')})" for kind, n in words.items())
    return f"skipped: {', '.join(listed)}" if words else ""


def kind_of(types: str, role: str, classes: str) -> str:
    """The kind of an element by its attributes; "" if it is an ordinary one."""
    words = [
        *types.split(),
        *(word.removeprefix("doc-") for word in role.split() if "doc-" in word),
    ]
    by_type = next((_BY_TYPE[word] for word in words if word in _BY_TYPE), "")
    return by_type or next((_BY_CLASS[w] for w in classes.split() if w in _BY_CLASS), "")
