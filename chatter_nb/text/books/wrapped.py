"""Hard-wrapped plain text, such as Project Gutenberg's, to blocks without its print marks."""

from __future__ import annotations

import re
from bisect import bisect
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from chatter_nb.text.books.document import Block, Book, Skipped, count_words, divide_at_headings
from chatter_nb.text.books.lines import WordJoiner, running_heads
from chatter_nb.text.chunking import ends_sentence
from chatter_nb.text.headings import is_heading

_START = re.compile(r"(?is)\A.*?\*{3} ?START OF TH(?:E|IS) PROJECT GUTENBERG[^*]*\*{3}[^\n]*")
_END = r"(?ims)^(?:\*{3} ?END OF TH(?:E|IS)|End of(?: the| this)?) Project Gutenberg.*"
_PAGE_MARK = r"(?:\[(?:Pg|Page|p\.) ?[\divxlc]+\]|\{\d{1,4}\})"
_MARK = r"\[(?:\d{1,3}|[A-Z*†])\]"
_NOTE = rf"(?<=\n\n)[ \t]*({_MARK})(?=\s)(?:[^\S\n]*\S[^\n]*(?:\n|\Z))+"
# What is taken out, in this order; its line breaks stay, so that lines keep their numbers.
_TAKEN_OUT = (
    ("licence", _START),
    ("licence", re.compile(_END)),
    ("pages", re.compile(rf"(?i)[ \t]?{_PAGE_MARK}(?=\s|\Z)|{_PAGE_MARK}")),
    ("illustrations", re.compile(r"(?i)\[(?:Illustration|Frontispiece)\b[^\[\]]*\]")),
    ("notes", re.compile(r"(?i)\[(?:Footnote|Note)\b ?[^\s:]{0,5}:[^\[\]]*\]")),
    ("notes", re.compile(_NOTE)),
    ("note marks", re.compile(rf"[ \t]?{_MARK}")),
    ("italics", re.compile(r"(?s)(?<![^\W_])([_=])(?=[^\s_=])((?:(?!\1|\n\n).)+?)(?<=\S)\1")),
)
_ABOUT = re.compile(r"^(Title|Author): *(\S[^\n]*)", re.MULTILINE)
_CONTENTS = re.compile(r"(?i)(?:table of )?contents\.?")
_ENTRY = re.compile(r"(?i)(?:chapter|book|part|[ivxlc]+\.|\d+\.)\s|.*\s\d+\Z")
_NUMBERED = re.compile(
    r"(?i)(?:(?:chapter|book|part|act|scene|volume|canto|letter|stave) +\w+|[ivxlc]+|preface"
    r"|introduction|conclusion|appendix)\b[.:]?(?:\s.{0,80})?"
)
_ITEM = re.compile(r"(?:\d{1,3}[.)]|[-*•·])\s+\S")
_WRAPPED_CHARS, _WRAPPED_SHARE, _WRAPPED_LINES = range(55, 81), 0.8, 10
_VERSE_SHARE = 0.8  # of the usual width: longer lines are a quotation with wide margins
_HEADING_LINES, _HEADING_BLANKS, _CAPITALS_BLANKS = 3, 2, 3  # at most; lines before, at least

_Line = tuple[int, str]  # its number in the text, from 1


def is_wrapped(text: str) -> bool:
    """Whether a text has Gutenberg's markers, or most lines are as long as typists make them."""
    if _START.search(text):
        return True
    inner = [a for a, b in pairwise(map(str.rstrip, text.split("\n"))) if a and b.strip()]
    fitting = sum(len(line) in _WRAPPED_CHARS for line in inner)
    return len(inner) >= _WRAPPED_LINES and fitting >= _WRAPPED_SHARE * len(inner)


def book_of_wrapped(text: str, document: str, clean: Collection[str]) -> Book:
    """A hard-wrapped text as a book, cleaned as `clean` (names of `skips.CLEANINGS`) says.

    Verse keeps its lines. `Book.skipped` counts what was taken out and what was joined.
    """
    return _Cleaner(text, document, clean).book()


@dataclass
class _Cleaner:
    text: str
    document: str
    clean: Collection[str]
    skipped: list[Skipped] = field(default_factory=list)
    entries: set[tuple[str, ...]] = field(default_factory=set)  # of the contents

    def book(self) -> Book:
        about = dict(_ABOUT.findall(self.text[:3_000])) if _START.search(self.text) else {}
        text = re.sub(r"\r\n?", "\n", self.text)
        for kind, pattern in _TAKEN_OUT:
            text = self._take_out(text, kind, pattern) if kind in self.clean else text
        self.joiner = WordJoiner(text, make_whole="hyphens" in self.clean)
        blocks = list(self._blocks(list(self._without_contents(self._paragraphs(text)))))
        self.skipped += [Skipped("hyphens", self.document, 0)] * self.joiner.count
        title, author = about.get("Title", ""), about.get("Author", "")
        chapters = divide_at_headings(blocks, title or self.document.rpartition(".")[0])
        return Book(title=title, author=author, chapters=chapters, skipped=tuple(self.skipped))

    def _skip(self, kind: str, line: int, text: str) -> None:
        self.skipped.append(Skipped(kind, f"{self.document}#line {line}", count_words(text)))

    def _take_out(self, text: str, kind: str, pattern: re.Pattern[str]) -> str:
        breaks = [match.start() for match in re.finditer("\n", text)]
        marks = Counter(re.findall(_MARK, text))

        def left(match: re.Match[str]) -> str:
            if kind == "notes" and match.lastindex and marks[match[1]] < 2:
                return match[0]  # nothing leads to it
            taken = "" if kind == "italics" else match[0]
            self._skip(kind, bisect(breaks, match.start()) + 1, taken)
            return match[2] if kind == "italics" else "\n" * match[0].count("\n")

        return pattern.sub(left, text)

    def _paragraphs(self, text: str) -> list[list[_Line]]:
        """The paragraphs, joined over pages; without form feeds, running heads, page numbers."""
        pages: list[list[_Line]] = [[]]
        for number, line in enumerate(text.split("\n"), 1):
            before, *after = line.split("\f") if "pages" in self.clean else [line]
            pages[-1].append((number, before))
            pages += [[(number, part)] for part in after]
        filled = [[line for line in page if line[1].strip()] for page in pages]
        heads = running_heads([[line for _, line in page] for page in filled])
        gone = {filled[page][line] for page, line in heads}
        for number, line in sorted(gone):
            self._skip("pages", number, line)
        paragraphs: list[list[_Line]] = []
        for page in pages:
            groups = groupby((li for li in page if li not in gone), lambda li: bool(li[1].strip()))
            new = [list(group) for is_filled, group in groups if is_filled]
            if paragraphs and new and not ends_sentence(paragraphs[-1][-1][1], new[0][0][1]):
                paragraphs[-1] += new.pop(0)
            paragraphs += new
        return paragraphs

    def _without_contents(self, paragraphs: list[list[_Line]]) -> Iterator[list[_Line]]:
        """The paragraphs but the list of contents, whose entries are the headings of the text."""
        count = Counter(_words(line) for lines in paragraphs for _, line in lines)
        inside = False
        for lines in paragraphs:
            texts = [line.strip() for _, line in lines]
            if not self.entries and _CONTENTS.fullmatch(texts[0]):
                inside, texts = True, texts[1:]
            is_list = all(_ENTRY.match(text) or count[_words(text)] > 1 for text in texts)
            new = _words(" ".join(texts))  # the text begins where an entry, or its part, returns
            returns = any(new[: len(e)] == e[: len(new)] for e in self.entries if e and new)
            inside = inside and is_list and not returns
            self.entries.update(map(_words, texts if inside else ()))
            if inside and "contents" in self.clean:
                self._skip("contents", lines[0][0], "\n".join(line for _, line in lines))
            else:
                yield lines

    def _blocks(self, paragraphs: Iterable[list[_Line]]) -> Iterator[Block]:
        lengths = sorted(len(line) for lines in paragraphs for _, line in lines[:-1]) or [0]
        width = lengths[len(lengths) * 9 // 10]  # one line in ten is longer
        before = 1 - _CAPITALS_BLANKS
        for lines in paragraphs:
            blanks, before = lines[0][0] - before - 1, lines[-1][0]
            texts, starts, kind = [line.strip() for _, line in lines], [0], "paragraph"
            items = [at for at, text in enumerate(texts) if _ITEM.match(text)]
            if len(lines) <= _HEADING_LINES and self._is_heading(" ".join(texts), blanks):
                kind = "heading"
            elif len(items) > 1 and items[0] == 0 and "lines" in self.clean:
                kind, starts = "list item", items
            elif _is_verse(texts, width):
                kind = "verse"
            separator = "\n" if kind == "verse" or "lines" not in self.clean else " "
            for start, end in pairwise([*starts, len(lines)]):
                text = self.joiner.join(texts[start:end], separator)
                place = f"{self.document}#line {lines[start][0]}"
                yield Block(kind, text, place, int(kind == "heading"))

    def _is_heading(self, text: str, blanks: int) -> bool:
        is_listed = is_heading(text) or _words(text) in self.entries
        words = re.findall(r"\w+", text)
        titled = all(word[0].isupper() or len(word) < 5 or word.isdigit() for word in words)
        numbered = blanks >= _HEADING_BLANKS and titled and _NUMBERED.fullmatch(text)
        is_capitals = text.isupper() and blanks >= _CAPITALS_BLANKS and not self.entries
        return is_listed or bool(numbered) or is_capitals


def _words(text: str) -> tuple[str, ...]:
    """The words of a line, to compare, without the number of a page at its end."""
    return tuple(re.findall(r"\w+", re.sub(r"(?<=[\w.])\s+\d+\Z", "", text.strip()).lower()))


def _is_verse(lines: list[str], width: int) -> bool:
    """Whether every line ends before the margin makes it: the next one's first word would fit."""
    own = max(map(len, lines))
    ends = [len(a) + 1 + len(b.partition(" ")[0]) for a, b in pairwise(lines)]
    is_narrow = own <= _VERSE_SHARE * width or 2 * sum(end <= own for end in ends) > len(ends)
    return bool(ends) and is_narrow and all(end <= width for end in ends)
