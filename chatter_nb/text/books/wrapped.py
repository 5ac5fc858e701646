"""Hard-wrapped plain text, such as Project Gutenberg's, to blocks without its print marks.

Not here: what is a chapter in a text that is not wrapped (`plain`), and pages of PDF (`pdf`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import dropwhile, groupby, pairwise

from chatter_nb.text.books.document import Block, Book, Skipped, count_words, divide_at_headings
from chatter_nb.text.books.lines import WordJoiner, ends_sentence, running_heads
from chatter_nb.text.headings import is_heading

_START = re.compile(r"(?is)\A.*?\*{3} ?START OF TH(?:E|IS) PROJECT GUTENBERG[^*]*\*{3}[^\n]*")
_END = r"(?ims)^(?:\*{3} ?END OF TH(?:E|IS)|End of(?: the| this)?) Project Gutenberg.*"
_PAGE_MARK = r"(?:\[(?:Pg|Page|p\.) ?[\divxlc]+\]|\{\d{1,4}\})"
_NOTE = r"(?<=\n\n)[ \t]*(\[(?:\d{1,3}|[A-Z*†])\])(?=\s)(?:[^\n]*\S[^\n]*\n)+"
# What is taken out, in this order; its line breaks stay, so that lines keep their numbers.
_TAKEN_OUT = (
    ("licence", _START),
    ("licence", re.compile(_END)),
    ("pages", re.compile(rf"(?i)[ \t]+{_PAGE_MARK}(?=\s|\Z)|{_PAGE_MARK}")),
    ("illustrations", re.compile(r"(?i)\[(?:Illustration|Frontispiece)\b[^\[\]]*\]")),
    ("notes", re.compile(r"(?i)\[(?:Footnote|Note)\b ?[^\s:]{0,5}:[^\[\]]*\]")),
    ("notes", re.compile(_NOTE)),
    ("note marks", re.compile(r"[ \t]?\[(?:\d{1,3}|[A-Z*†])\]")),
    ("italics", re.compile(r"(?s)(?<![^\W_])([_=])(?=[^\s_=])((?:(?!\1|\n\n).)+?)(?<=\S)\1")),
)
_ABOUT = re.compile(r"^(Title|Author): *(\S[^\n]*)", re.MULTILINE)
_CONTENTS = re.compile(r"(?i)(?:table of )?contents\.?")
_ENTRY = re.compile(r"(?i)(?:chapter|book|part|[ivxlc]+\.|\d+\.)\s|.*\s\d+\Z")
_NUMBERED = re.compile(
    r"(?i)(?:(?:chapter|book|part|act|scene|volume|canto|letter|stave) +\w+|[ivxlc]+|preface"
    r"|introduction|conclusion|appendix)\b[.:]?(?:\s.{0,80})?"
)
_ITEM = re.compile(r"\s*(?:(\d{1,3})[.)]|[-*•·])\s+\S")
_WRAPPED_CHARS, _WRAPPED_SHARE, _WRAPPED_LINES = range(55, 81), 0.8, 10
_VERSE_SHARE = 0.8  # of the usual width: longer lines are a quotation with wide margins
_HEADING_BLANKS, _CAPITALS_BLANKS = 2, 3  # blank lines before a heading, at least
_HEADING_LINES, _HEADING_CHARS = 3, 120

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
        self.joiner = WordJoiner(text)
        lines = self._without_pages(list(enumerate(text.split("\n"), 1)))
        self.width = _usual_width([line for _, line in lines])
        filled = groupby(lines, key=lambda line: bool(line[1].strip()))
        paragraphs = [list(group) for is_filled, group in filled if is_filled]
        blocks = list(self._blocks(list(self._without_contents(paragraphs))))
        self.skipped += [Skipped("hyphens", self.document, 0)] * self.joiner.count
        title, author = about.get("Title", ""), about.get("Author", "")
        chapters = divide_at_headings(blocks, title or self.document.rpartition(".")[0])
        return Book(title=title, author=author, chapters=chapters, skipped=tuple(self.skipped))

    def _skip(self, kind: str, line: int, text: str) -> None:
        self.skipped.append(Skipped(kind, f"{self.document}#line {line}", count_words(text)))

    def _take_out(self, text: str, kind: str, pattern: re.Pattern[str]) -> str:
        parts, line, end = [], 1, 0
        for match in pattern.finditer(text):
            if kind == "notes" and match.lastindex and text.count(match[1]) < 2:
                continue  # nothing leads to it
            line += text.count("\n", end, match.start())
            is_kept = kind == "italics"  # but for its marks
            self._skip(kind, line, "" if is_kept else match[0])
            gone = match[2] if is_kept else "\n" * match[0].count("\n")
            parts += [text[end : match.start()], gone]
            line, end = line + match[0].count("\n"), match.end()
        return "".join([*parts, text[end:]])

    def _without_pages(self, lines: list[_Line]) -> list[_Line]:
        """The lines without form feeds, running heads and page numbers."""
        if "pages" not in self.clean:
            return lines
        pages: list[list[_Line]] = [[]]
        for number, line in lines:
            before, *after = line.split("\f")
            pages[-1].append((number, before))
            pages += [[(number, part)] for part in after]
        filled = [[line for line in page if line[1].strip()] for page in pages]
        heads = running_heads([[text for _, text in page] for page in filled])
        gone = {filled[page][line] for page, line in heads}
        for number, text in sorted(gone):
            self._skip("pages", number, text)
        result: list[_Line] = []
        for page in pages:
            kept = [line for line in page if line not in gone]
            result += _next_page(result, kept) if result else kept
        return result

    def _without_contents(self, paragraphs: list[list[_Line]]) -> Iterator[list[_Line]]:
        """The paragraphs but the list of contents, whose entries are the headings of the text."""
        count = Counter(_words(line) for lines in paragraphs for _, line in lines)
        inside = False
        for lines in paragraphs:
            texts = [line.strip() for _, line in lines]
            if not self.entries and _CONTENTS.fullmatch(texts[0]):
                inside, texts = True, texts[1:]
            words = [_words(text) for text in texts]
            is_list = all(
                _ENTRY.match(t) or count[w] > 1 for t, w in zip(texts, words, strict=True)
            )
            inside = inside and is_list and not self._is_entry(_words(" ".join(texts)))
            self.entries.update(words if inside else ())
            if inside and "contents" in self.clean:
                self._skip("contents", lines[0][0], " ".join(texts))
            else:
                yield lines

    def _is_entry(self, words: tuple[str, ...]) -> bool:
        """Whether the words are an entry of the contents, or its beginning, or begin with one."""
        return any(words[: len(e)] == e[: len(words)] for e in self.entries if e and words)

    def _blocks(self, paragraphs: Iterable[list[_Line]]) -> Iterator[Block]:
        before = 1 - _CAPITALS_BLANKS
        for lines in paragraphs:
            blanks, before = lines[0][0] - before - 1, lines[-1][0]
            whole = " ".join(line.strip() for _, line in lines)
            for kind, part in self._parts(lines, whole, blanks):
                place = f"{self.document}#line {part[0][0]}"
                yield Block(kind, self._joined(kind, part), place, int(kind == "heading"))

    def _parts(
        self, lines: list[_Line], whole: str, blanks: int
    ) -> Iterator[tuple[str, list[_Line]]]:
        """The parts of a paragraph, each with its kind."""
        if len(lines) <= _HEADING_LINES and self._is_heading(whole, blanks):
            yield "heading", lines
        elif "lines" in self.clean and (starts := _item_starts(lines)):
            for start, end in pairwise([*starts, len(lines)]):
                yield "list item", lines[start:end]
        else:
            is_verse = _is_verse([line.strip() for _, line in lines], self.width)
            yield "verse" if is_verse else "paragraph", lines

    def _joined(self, kind: str, lines: list[_Line]) -> str:
        separator = " " if "lines" in self.clean and kind != "verse" else "\n"
        texts, is_whole = (line.strip() for _, line in lines), "hyphens" in self.clean
        return self.joiner.join(texts, separator=separator, make_whole=is_whole)

    def _is_heading(self, text: str, blanks: int) -> bool:
        if is_heading(text) or _words(text) in self.entries:
            return True
        if blanks < _HEADING_BLANKS or len(text) > _HEADING_CHARS:
            return False
        words = re.findall(r"\w+", text)
        titled = all(word[0].isupper() or len(word) < 5 or word.isdigit() for word in words)
        is_capitals = text.isupper() and blanks >= _CAPITALS_BLANKS and not self.entries
        return is_capitals or bool(titled and _NUMBERED.fullmatch(text))


def _words(text: str) -> tuple[str, ...]:
    """The words of a line, to compare, without the number of a page at its end."""
    return tuple(re.findall(r"\w+", re.sub(r"(?<=[\w.])\s+\d+\Z", "", text.strip()).lower()))


def _next_page(before: list[_Line], page: list[_Line]) -> list[_Line]:
    """A page's lines after those before it: with a blank line first where a paragraph ended."""
    while before and not before[-1][1].strip():
        before.pop()
    page = list(dropwhile(lambda line: not line[1].strip(), page))
    if not page or not before:
        return page
    first = page[0][1].strip()
    ends = ends_sentence(before[-1][1]) and not first[0].islower()
    return [(page[0][0], ""), *page] if ends or is_heading(first) else page


def _item_starts(lines: list[_Line]) -> list[int]:
    """Where the items of a list begin: two or more, the first first, numbers in order."""
    items = [(at, _ITEM.match(line)) for at, (_, line) in enumerate(lines)]
    starts = [(at, int(match[1] or 0)) for at, match in items if match]
    numbers = [number for _, number in starts]
    counted = [numbers[0] + n if numbers[0] else 0 for n in range(len(numbers))] if numbers else []
    in_order = len(starts) > 1 and not starts[0][0] and numbers == counted
    return [at for at, _ in starts] if in_order else []


def _usual_width(lines: list[str]) -> int:
    """The length that one line in ten exceeds, of those that another follows."""
    lengths = sorted(len(a.rstrip()) for a, b in pairwise(lines) if a.strip() and b.strip())
    return lengths[len(lengths) * 9 // 10] if lengths else 0


def _is_verse(lines: list[str], width: int) -> bool:
    """Whether every line ends before the margin makes it: the next one's first word would fit."""
    own = max(map(len, lines))
    ends = [len(a) + 1 + len(b.partition(" ")[0]) for a, b in pairwise(lines)]
    early = sum(end <= own for end in ends)
    is_narrow = own <= _VERSE_SHARE * width or 2 * early > len(ends)
    return bool(ends) and is_narrow and all(end <= width for end in ends)
