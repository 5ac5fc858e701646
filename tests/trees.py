"""Random bodies of XHTML, for documents whose words are known."""

import random

INLINE = ("b", "i", "span", "em", "small", "q", "a", "sup")
BLOCK = ("div", "p", "blockquote", "section", "ul", "table", "h2", "pre", "figure")
SKIPPED = (
    '<span epub:type="pagebreak">{}</span>',
    '<a epub:type="noteref" href="#x">{}</a>',
)
SKIPPED_BLOCKS = (
    '<aside epub:type="footnote">{}</aside>',
    '<div style="display: none">{}</div>',
    "<dialog>{}</dialog>",
)


class Tree:
    """A random body, whose words are numbers in their order; `words` are those that are read."""

    def __init__(self, seed: int, *, with_skips: bool = True) -> None:
        self.random, self.number, self.with_skips = random.Random(seed), 0, with_skips
        self.words: list[str] = []
        self.body = "".join(self.block(3) for _ in range(4))

    def text(self, *, is_read: bool = True) -> str:
        words = [f"w{self.number + n}" for n in range(self.random.randint(1, 3))]
        self.number += len(words)
        self.words += words if is_read else []
        return self.random.choice((" ", "\n  ", "&#160;")).join(words)

    def skipped(self, forms: tuple[str, ...]) -> str:
        return self.random.choice(forms).format(self.text(is_read=False))

    def inline(self, depth: int) -> str:
        choice = self.random.random()
        if choice < 0.5 or not depth:
            return f" {self.text()} "
        if choice < 0.6:
            return "<br/>"
        if choice < 0.7 and self.with_skips:
            return f" {self.skipped(SKIPPED)} "
        name = self.random.choice(INLINE)
        return f"<{name}>{''.join(self.inline(depth - 1) for _ in range(2))}</{name}>"

    def block(self, depth: int) -> str:
        if self.with_skips and self.random.random() < 0.1:
            return self.skipped(SKIPPED_BLOCKS)
        name = self.random.choice(BLOCK)
        inside = [self.inline(2) for _ in range(2)]
        if name == "ul":
            return f"<ul>{''.join(f'<li>{part}</li>' for part in inside)}</ul>"
        if name == "table":
            return f"<table><tr>{''.join(f'<td>{part}</td>' for part in inside)}</tr></table>"
        if depth and name in ("div", "section", "blockquote", "figure"):
            inside.append(self.block(depth - 1))
        return f"<{name}>{' '.join(inside)}</{name}>"
