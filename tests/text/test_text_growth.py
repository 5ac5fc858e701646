"""No text takes the square of its length: crafted texts, through all that is done before a sample.

The one timed assertion of these tests. It compares a time with a time of the same process, in CPU
seconds, and asks for a quarter of what the square would take.
"""

import re
import time
from contextlib import suppress
from functools import cache, partial
from itertools import starmap

import pytest

from chatter_nb.base.errors import InputError
from chatter_nb.engines.chatterbox import random_tokenizers
from chatter_nb.engines.hibari import HibariEngine
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.outline import outline
from chatter_nb.runs.speakers import speakers_in
from chatter_nb.text.chunking import Chunk, clean, split_chunks
from chatter_nb.text.markdown import markdown_to_text
from chatter_nb.text.replacing import Finder, rule
from chatter_nb.text.spoken.say import choose_rules, say
from chatter_nb.text.spoken.saying import Saying

pytestmark = pytest.mark.slow

SMALL_CHARS, LARGE_CHARS = 4_000, 64_000
MOST = 64  # times the work for 16 times the text; the square is 256
FLOOR_S = 0.001  # below it, what is measured is not the text

MARKS = "\u0301\u0327"  # of two classes: sorted by Unicode's normal form
# One unit is repeated; of three, the first stands once and the others fill half of the text each.
TEXTS = {
    "prose": ("The quick brown fox, she said, jumps over 12 lazy dogs. ",),
    "spaces": ("a", " ", "b"),
    "no-break spaces": ("a", "\u00a0", "b"),
    "newlines": ("a", "\n", "b"),
    "carriage returns": ("a", "\r", "b"),
    "spaces and brackets": ("a    [12",),
    "superscripts": ("abc", "²", "a"),
    "superscripts apart": ("abc²",),
    "accents of two classes": ("a", *MARKS),
    "accents in turn": (MARKS,),
    "accented letters": ("a" + MARKS * 20,),
    "opening quotes": ("“",),
    "quotes and letters": ("“a ",),
    "straight quotes": ('"a ',),
    "backticks": ("`",),
    "apostrophes": ("'",),
    "’s": ("’s",),
    "brackets": ("(",),
    "square brackets": ("[",),
    "links": ("[a](",),
    "pause marks": ("[pause ",),
    "marks of voices": ("[voice: x] ",),
    "marks of voices, a line each": ("[voice: x]\n",),
    "a mark of a voice without end": ("[voice:", " ", "b"),
    "marks of voices without end": ("[voice: ",),
    "names at lines": ("Bob: ",),
    "names at lines' starts": ("Bob:\n",),
    "references": ("[1,",),
    "pauses of nought": ("[pause 0s]",),
    "one word": ("a",),
    "capitals": ("WORD",),
    "mixed case": ("aB",),
    "digits": ("1",),
    "letters and digits": ("a1",),
    "hyphens": ("a-",),
    "slashes": ("/",),
    "an address": ("ab/c?d=1&",),
    "full stops": (".",),
    "initials": ("A. ",),
    "exclamations": ("!",),
    "dashes": ("-",),
    "stars": ("*",),
    "ornaments": ("* * *\n",),
    "angles": ("<",),
    "tags": ("<a b=",),
    "comments": ("<!-- ",),
    "tables": ("|---",),
    "headings": ("Chapter 1\n\n",),
    "commas": ("a,",),
    "emoji": ("\U0001f600",),
    "currency": ("5 € ",),
    "sums": ("1+2=",),
    "Chinese": ("你好，世界。",),
    "Thai": ("สวัสดี",),
    "joiners": ("a\u200d",),
    "addresses": ("https://ab.cd/e ",),
    "form feeds": ("a\f",),
    "terminal codes": ("\x1b[31m",),
    "SSML": ("<speak ",),
    "abbreviations": ("e.g. ",),
    "grouped digits": ("1,000",),
    "digits in groups": ("100 ",),
    "ranges": ("12-",),
    "money": ("$1",),
    "Roman numerals": ("Act IV ",),
    "titles": ("St. ",),
    "numbered lines": ("1. a\n2. b\n",),
}
# To Markdown these are "square brackets" again, which cost it 80 µs each.
BRACKETS = ("spaces and brackets", "pause marks", "references", "terminal codes")
RULES = {"!" * 20 + str(n): "x" for n in range(400)} | {"fox": "cat", "a1": "b"}


def crafted(units, chars):
    """A text of so many characters; see `TEXTS`."""
    first, *rest = units
    if not rest:
        return (first * (chars // len(first) + 1))[:chars]
    half = chars // 2
    return first + rest[0] * half + rest[1] * half


@cache
def spoken(name, chars):
    """What an engine is asked about, nearly: cut by length. Empty for what is refused before."""
    try:
        text = " ".join(clean(crafted(TEXTS[name], chars)).split())
    except InputError:
        return ""
    return "\n".join(Chunk(0, text[at : at + 280], 0).spoken for at in range(0, len(text), 280))


def plain(text):
    return [chunk.spoken for chunk in split_chunks(clean(text))]


def said_in_parts(text):
    """Short chunks, each with its share of what is said."""
    chosen = choose_rules("auto")
    return split_chunks(clean(text), chunk_chars=20, say=partial(say, language="en", chosen=chosen))


def outlined(text):
    """As the form does it, in a language of short chunks without spaces."""
    return outline(SpeakParams(text=text, chunk_chars=20, language="zh"))


def with_speakers(text):
    """Marks, and who says each quote."""
    cast = {"Bob": "heart", "Ann": "heart"}
    return speakers_in(clean(text), SpeakParams(text="x", cast=cast, quotes="attributed"), "en")


def hibari():
    return partial(HibariEngine().check_text, language="en")


def chatterbox(folder, name, language="en"):
    """An engine's check, by its tokenizer alone: of the real one's alphabet, without weights."""
    pytest.importorskip("chatterbox", reason="needs the extra [chatterbox]")
    from chatter_nb.engines.chatterbox import speak as engines

    random_tokenizers.write(folder, name)
    kinds = (engines.ChatterboxEngine, engines.MultilingualEngine, engines.TurboEngine)
    kind = next(kind for kind in kinds if kind.name == name)
    engine = object.__new__(kind)
    engine._folder = folder
    engine._load_tokenizer()
    return partial(engine.check_text, language=language)


def cpu_s(step, text):
    start_s = time.process_time()
    with suppress(InputError):  # refused, and soon
        step(text)
    return time.process_time() - start_s


def grows_too_fast(step, small, large):
    """Whether `large` costs over `MOST` times what `small` does, each at the least of three."""
    large_s = cpu_s(step, large)
    if large_s <= MOST * FLOOR_S:
        return False
    most_s = MOST * max(FLOOR_S, min(cpu_s(step, small) for _ in range(3)))
    return large_s > most_s and min(cpu_s(step, large) for _ in range(2)) > most_s


def too_fast(step, text_of, leaving_out=()):
    sizes, names = (SMALL_CHARS, LARGE_CHARS), [name for name in TEXTS if name not in leaving_out]
    return [n for n in names if grows_too_fast(step, *(text_of(n, chars) for chars in sizes))]


@pytest.mark.parametrize(
    "step",
    [
        plain,
        partial(clean, remove_references=True),
        Saying("en", finders=[("replacements", Finder(starmap(rule, RULES.items())))]).say,
        partial(clean, regex_replacements={r"\bfox\b": "cat", r"(\d)-(\d)": r"\1 to \2"}),
        markdown_to_text,
        outlined,
        said_in_parts,
        with_speakers,
        partial(say, language="en", chosen=choose_rules("auto")),
        partial(say, language="de", chosen=choose_rules("auto")),
    ],
    ids=[
        *(
            "plain",
            "references",
            "replacements",
            "patterns",
            "markdown",
            "outline",
            "parts",
            "speakers",
        ),
        *("en", "de"),
    ],
)
def test_what_is_done_to_a_text_is_in_proportion_to_it(step):
    leaving_out = BRACKETS if step is markdown_to_text else ()
    assert too_fast(step, lambda name, chars: crafted(TEXTS[name], chars), leaving_out) == []


def test_hibaris_check_is_in_proportion_to_the_text():
    assert too_fast(hibari(), spoken) == []


@pytest.mark.parametrize(
    ("name", "language"),
    [("chatterbox", "en"), ("chatterbox-multilingual", "ko"), ("chatterbox-turbo", "en")],
)
def test_chatterboxs_checks_are_in_proportion_to_the_text(name, language, tmp_path):
    assert too_fast(chatterbox(tmp_path, name, language), spoken) == []


def test_the_measurement_finds_a_square():
    """Otherwise the tests above could not fail."""
    square = lambda text: re.search(" *b", text[::4])  # noqa: E731
    assert grows_too_fast(square, " " * SMALL_CHARS, " " * LARGE_CHARS)
