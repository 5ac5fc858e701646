"""The one table of what is left out of documents: by `epub:type`, role, and a few class names."""

from __future__ import annotations

from collections.abc import Iterable

from chatter_nb.base.wording import count
from chatter_nb.text.books.document import Skipped
from chatter_nb.text.choices import choose

# Kind: its values of epub:type and role (without "doc-"), and class names that mean nothing
# else: EPUB 2 has no types.
KINDS = {
    "notes": (
        "footnote footnotes endnote endnotes rearnote rearnotes",
        "footnote footnotes endnote endnotes",
    ),
    "note marks": ("noteref backlink", "noteref footnote-ref footnote-reference fnanchor"),
    "page numbers": ("pagebreak page-list pagelist", "pagenum pageno x-ebookmaker-pageno"),
    "contents": ("toc toc-brief loa loi lot lov", ""),
    "landmarks": ("landmarks", ""),
    "index": ("index", ""),
    "nonlinear": ("", ""),  # documents outside the reading order
    "ruby": ("", ""),  # readings beside their characters
    # Of a page: ways to others, head, foot, what stands aside; `html` finds them by element too.
    "headers": ("navigation banner contentinfo complementary search", ""),
    "asides": ("sidebar pullquote", ""),
    "bibliography": ("bibliography", ""),
}
CLEANINGS = (  # of hard-wrapped text and of PDF
    *("licence", "contents", "pages", "lines", "hyphens", "italics", "illustrations"),
    *("note marks", "notes"),
)
AUTO = KINDS.keys() - {"asides", "bibliography"}
_BY_TYPE = {word: kind for kind, (types, _) in KINDS.items() for word in types.split()}
_BY_CLASS = {word: kind for kind, (_, classes) in KINDS.items() for word in classes.split()}


def choose_kinds(skip: str) -> frozenset[str]:
    """The kinds in `auto`, `none`, a list, or `-name` (auto without it). Raises `InputError`."""
    return choose("skip", skip, KINDS, AUTO)[0]


def choose_cleanings(clean: str) -> tuple[frozenset[str], bool]:
    """The names of `CLEANINGS` in such a text, and whether it names any that shall be done."""
    return choose("clean", clean, CLEANINGS, CLEANINGS)


def in_words(skipped: Iterable[Skipped]) -> str:
    """What is left out, by its kinds: "skipped: 12 × notes (340 words)"; "" for nothing."""
    words: dict[str, list[int]] = {}
    for part in skipped:
        words.setdefault(part.kind, []).append(part.words)
    listed = (
        f"{len(n)} × {kind}" + (f" ({count(sum(n), 'word')})" if sum(n) else "")
        for kind, n in words.items()
    )
    return f"skipped: {', '.join(listed)}" if words else ""


def kind_of(types: str, role: str, classes: str) -> str:
    """The kind of an element by its attributes; "" if it is an ordinary one."""
    roles = [word.removeprefix("doc-") for word in role.split()]
    kinds = [_BY_TYPE.get(word, "") for word in (*types.split(), *roles)]
    kinds += [_BY_CLASS.get(word, "") for word in classes.split()]
    return next(filter(None, kinds), "")
