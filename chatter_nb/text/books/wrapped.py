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

_START = re.compile(r"\*{3} ?START OF (?:THE|THIS) PROJECT GUTENBERG[^*]*\*{3}[^\n]*", re.I)
_END = re.compile(
    r"^(?:\*{3} ?END OF (?:THE|THIS) PROJECT|End of (?:the |this )?Project) Gutenberg", re.I | re.M
)
_ABOUT = re.compile(r"^(Title|Author|Language): *(\S[^\n]*)", re.MULTILINE)
_MARK = r"(?:\[(?:Pg|Page|p\.) ?[\divxlc]+\]|\{\d{1,4}\})"
_PAGE_MARK = re.compile(rf"[ \t]+{_MARK}(?=\s|\Z)|{_MARK}", re.IGNORECASE)
_ITALICS = re.compile(r"(?<![^\W_])([_=])(?=[^\s_=])((?:(?!\1).)+?)(?<=\S)\1(?![^\W_])", re.DOTALL)
_PICTURE = re.compile(r"\[(?:Illustration|Frontispiece)\b[^\[\]]*\]", re.IGNORECASE)
_NOTE_MARK = re.compile(r"[ \t]?\[(?:\d{1,3}|[A-Z*†])\]")
_OPENS = re.compile(r"\s*\[(?:Illustration|Footnote|Note)\b", re.IGNORECASE)
_NOTE = re.compile(r"\[(?:Footnote|Note) ?[^\s:]{0,5}:|\[(?:\d{1,3}|[A-Z*†])\](?=\s)")
_CONTENTS = re.compile(r"(?:table of )?contents\.?", re.IGNORECASE)
_LEADERS = re.compile(r"(?:\. ?){4,}\s*[\divxlc]+\s*\Z", re.IGNORECASE)
_ENTRY = re.compile(
    r"(?:chapter|book|part|[ivxlc]+\.|\d+\.)\s|.*\s\d+\Z", re.IGNORECASE | re.DOTALL
)
_NUMBERED = re.compile(
    r"(?:(?:chapter|book|part|act|scene|volume|canto|letter|stave) +(?:[ivxlc]+|\d+|the \w+|\w+)"
    r"|[ivxlc]+|preface|introduction|conclusion|appendix)\b[.:]?(?:\s.{0,80})?",
    re.IGNORECASE | re.DOTALL,
)
_ITEM = re.compile(r"\s*(?:(\d{1,3})[.)]|[-*•·])\s+\S")
_WRAPPED_CHARS, _WRAPPED_SHARE, _WRAPPED_LINES = range(55, 81), 0.8, 10
_VERSE_SHARE = 0.8  # of the usual width: longer lines are a quotation with wide margins
_HEADING_BLANKS, _CAPITALS_BLANKS = 2, 3  # blank lines before a heading, at least
_HEADING_LINES, _HEADING_CHARS = 3, 120
_BRACKET_LINES = 60  # of a note or of a picture's words, at most

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

    def book(self) -> Book:
        about = dict(_ABOUT.findall(self.text[:3_000])) if _START.search(self.text) else {}
        self.joiner = WordJoiner(self.text)
        lines = self._pages(self._without_licence())
        self.width = _usual_width([line for _, line in lines])
        blocks = list(self._blocks(list(self._without_contents(list(_paragraphs(lines))))))
        self.skipped += [Skipped("hyphens", self.document, 0)] * self.joiner.count
        title = about.get("Title", self.document.rpartition(".")[0] or self.document)
        return Book(
            title=about.get("Title", ""),
            author=about.get("Author", ""),
            chapters=divide_at_headings(blocks, title),
            skipped=tuple(self.skipped),
        )

    def _skip(self, kind: str, line: int, text: str) -> bool:
        """Whether a part is left out; it is then listed."""
        if kind in self.clean and text.strip():
            self.skipped.append(Skipped(kind, f"{self.document}#line {line}", count_words(text)))
        return kind in self.clean

    def _without_licence(self) -> list[_Line]:
        lines = list(enumerate(self.text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1))
        if "licence" not in self.clean:
            return lines
        text = "\n".join(line for _, line in lines)
        start = _START.search(text)
        first = text.count("\n", 0, start.end()) + 1 if start else 0
        end = _END.search(text, start.end() if start else 0)
        last = text.count("\n", 0, end.start()) if end else len(lines)
        for part in (lines[:first], lines[last:]):
            if part:
                self._skip("licence", part[0][0], "\n".join(line for _, line in part))
        return lines[first:last]

    def _pages(self, lines: list[_Line]) -> list[_Line]:
        """The lines without form feeds, running heads and page numbers; marks of pages too."""
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
        result: list[_Line] = []
        for page in pages:
            kept = [li for li in page if li not in gone or not self._skip("pages", *li)]
            result += _next_page(result, kept) if result else kept
        return [(number, self._take_out("pages", _PAGE_MARK, number, li)) for number, li in result]

    def _take_out(self, kind: str, pattern: re.Pattern[str], line: int, text: str) -> str:
        def gone(match: re.Match[str]) -> str:
            return "" if self._skip(kind, line, match[0]) else match[0]

        return pattern.sub(gone, text) if kind in self.clean else text

    def _without_contents(self, paragraphs: list[list[_Line]]) -> Iterator[list[_Line]]:
        """The paragraphs but the list of contents, whose entries are the headings of the text."""
        count = Counter(_words(line) for lines in paragraphs for _, line in lines)
        self.entries: set[tuple[str, ...]] = set()
        inside = False
        for lines in paragraphs:
            texts = [line.strip() for _, line in lines]
            if not self.entries and _CONTENTS.fullmatch(texts[0]):
                inside, texts = True, texts[1:]
            words = [_words(_LEADERS.sub("", text)) for text in texts]
            is_list = all(
                _ENTRY.match(t) or count[w] > 1 for t, w in zip(texts, words, strict=True)
            )
            inside = inside and is_list and not self._is_entry(_words(" ".join(texts)))
            self.entries.update(words if inside else ())
            if not inside or not self._skip("contents", lines[0][0], "\n".join(texts)):
                yield lines

    def _is_entry(self, words: tuple[str, ...]) -> bool:
        """Whether the words are an entry of the contents, or its beginning, or begin with one."""
        return any(words[: len(e)] == e[: len(words)] for e in self.entries if e and words)

    def _blocks(self, paragraphs: Iterable[list[_Line]]) -> Iterator[Block]:
        before = 1 - _CAPITALS_BLANKS
        for lines in paragraphs:
            blanks, before = lines[0][0] - before - 1, lines[-1][0]
            whole = " ".join(line.strip() for _, line in lines)
            if self._is_note(whole) and self._skip("notes", lines[0][0], whole):
                continue
            for kind, part in self._parts(lines, whole, blanks):
                if text := self._joined(kind, part):
                    place = f"{self.document}#line {part[0][0]}"
                    yield Block(kind, text, place, int(kind == "heading"))

    def _parts(
        self, lines: list[_Line], whole: str, blanks: int
    ) -> Iterator[tuple[str, list[_Line]]]:
        """The parts of a paragraph, each with its kind."""
        if len(lines) <= _HEADING_LINES and self._is_heading(whole, blanks):
            yield "heading", lines
        elif is_heading(lines[0][1].strip()) and len(lines) > 1:
            yield "heading", lines[:1]
            yield from self._parts(lines[1:], whole, 0)
        elif "lines" in self.clean and (starts := _item_starts(lines)):
            for start, end in pairwise([*starts, len(lines)]):
                yield "list item", lines[start:end]
        else:
            is_verse = _is_verse([line.strip() for _, line in lines], self.width)
            yield "verse" if is_verse else "paragraph", lines

    def _joined(self, kind: str, lines: list[_Line]) -> str:
        text, number = "\n".join(line.strip() for _, line in lines), lines[0][0]
        for name, pattern in (("illustrations", _PICTURE), ("note marks", _NOTE_MARK)):
            text = self._take_out(name, pattern, number, text)
        if "italics" in self.clean:
            text, found = _ITALICS.subn(r"\2", text)
            self.skipped += [Skipped("italics", f"{self.document}#line {number}", 0)] * found
        separator = " " if "lines" in self.clean and kind != "verse" else "\n"
        whole = "hyphens" in self.clean
        return self.joiner.join(text.split("\n"), separator=separator, make_whole=whole).strip()

    def _is_note(self, text: str) -> bool:
        mark = _NOTE.match(text)
        return bool(mark and (mark[0][-1] == ":" or self.text.count(mark[0]) > 1))

    def _is_heading(self, text: str, blanks: int) -> bool:
        if is_heading(text) or _words(text) in self.entries:
            return True
        if blanks < _HEADING_BLANKS or len(text) > _HEADING_CHARS:
            return False
        titled = all(
            word[0].isupper() or len(word) < 5 or word[0].isdigit() for word in _words_of(text)
        )
        is_capitals = text.isupper() and blanks >= _CAPITALS_BLANKS and not self.entries
        return bool(titled and _NUMBERED.fullmatch(text)) or is_capitals


def _words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def _words(text: str) -> tuple[str, ...]:
    """The words of a line, to compare, without the number of a page at its end."""
    return tuple(_words_of(re.sub(r"(?<=\w)\s+\d+\Z", "", text.strip()).lower()))


def _paragraphs(lines: list[_Line]) -> Iterator[list[_Line]]:
    """Lines between blank ones; what a bracket opens before a picture or a note is not parted."""
    opened: list[_Line] = []
    for filled, group in groupby(lines, key=lambda line: bool(line[1].strip())):
        if not filled:
            continue
        paragraph = [*opened, *group]
        text = "\n".join(line for _, line in paragraph)
        is_open = _OPENS.match(text) and text.count("[") > text.count("]")
        opened = paragraph if is_open and len(paragraph) <= _BRACKET_LINES else []
        if not opened:
            yield paragraph
    if opened:
        yield opened


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
