"""Marks of speakers: what is one, how far it holds, and that no character is lost."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatter_nb.base.errors import InputError
from chatter_nb.text.dialogue.attribution import read_quotes
from chatter_nb.text.dialogue.marks import Cast, read_marks
from chatter_nb.text.line import CHAPTER_BREAK

CAST = Cast({"anna": "anna", "the wolf": "wolf", "wolf": "wolf", "ann": "ann"}, ("angry", "soft"))


def said(text, cast=CAST):
    """Who says what, without the marks and the spaces around."""
    spans, _ = read_marks(text, cast)
    spoken = [(s.speaker, s.mood, text[s.start : s.end].strip()) for s in spans if s.kind == "text"]
    return [(who, how, words) if how else (who, words) for who, how, words in spoken if words]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[Anna] Hello.\n\nOutside.", [("anna", "Hello."), ("", "Outside.")]),
        ("[Anna, angry] Go!", [("anna", "angry", "Go!")]),
        ("Anna: Hello.\nThe  Wolf: Come in.", [("anna", "Hello."), ("wolf", "Come in.")]),
        ("Anna (soft): Hush.", [("anna", "soft", "Hush.")]),
        ("[voice: emma] Hello.\n\nOutside.", [("emma", "Hello."), ("", "Outside.")]),
        ("He said: [voice: emma] Hello.", [("", "He said:"), ("emma", "Hello.")]),
        ("[voice: x]\n\nA.\n\n[Anna] B.\n\nC.", [("x", "A."), ("anna", "B."), ("x", "C.")]),
        ("[voice: x]\nA.\n\n[voice: y]\nB.", [("x", "A."), ("y", "B.")]),
        (f"[voice: x]\n\nA.\n\n{CHAPTER_BREAK}\n\nB.", [("x", "A."), ("", "B.")]),
        ("[Editor's note] It rained.", [("", "[Editor's note] It rained.")]),
        ("[London, 1884]\n[Illustration]", [("", "[London, 1884]\n[Illustration]")]),
        ("She told Anna: go.", [("", "She told Anna: go.")]),
        ("And: that is that.", [("", "And: that is that.")]),
        ("[laugh] Ha.\n[pause 1s] So.", [("", "[laugh] Ha.\n[pause 1s] So.")]),
        ("Anna:Hello.", [("", "Anna:Hello.")]),
        ("[Anna]\n\nHi.\n\nShe left.", [("anna", "Hi."), ("", "She left.")]),
        ("Wolf (soft):\n\n\nCome in.", [("wolf", "soft", "Come in.")]),
        (f"[Anna]\n\n{CHAPTER_BREAK}\n\nTwo.", [("", "Two.")]),
    ],
)
def test_who_speaks(text, expected):
    assert said(text) == expected


def test_without_a_cast_only_voice_is_a_mark():
    text = "[Anna] Hello.\nAnna: Hello.\n[voice: emma] Hello."
    assert said(text, Cast({})) == [("", "[Anna] Hello.\nAnna: Hello."), ("emma", "Hello.")]


def test_brackets_that_are_text_are_listed():
    _, notes = read_marks("[London, 1884] Fog.\n\n[laugh] Ha.\n\n[pause 1s] So.", CAST)
    cure = "marks are [Name], [Name, mood] and Name: with a name of the cast"
    assert notes == [f"[London, 1884]: read as text; {cure}"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[Ana] Hello.", None),
        ("[Annna] Hello.", "'[Annna]' is no name of the cast: did you mean anna?"),
        ("Wlof: Come in.", "'Wlof:' is no name of the cast: did you mean wolf?"),
        ("[Anna, angri] Go!", "'[Anna, angri]': mood 'angri' is not in moods (angry, soft)"),
    ],
)
def test_a_slip_is_refused(text, told):
    cast = CAST if told else Cast({"ann": "ann"})
    if told is None:
        assert said(text, cast) == [("", text)]
        return
    with pytest.raises(InputError) as caught:
        read_marks(text, cast)
    assert told in str(caught.value)


def test_every_slip_is_told_at_once():
    with pytest.raises(InputError, match=r"(?s)Wlof.*Annna"):
        read_marks("Wlof: A.\nAnnna: B.", CAST)


PIECES = ["Anna", "[", "]", ":", " ", "\n", "\n\n", "voice: x", "a b.", CHAPTER_BREAK, ", angry"]


@settings(max_examples=2_000)
@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join))
def test_spans_tile_the_text(text):
    try:
        spans, _ = read_marks(text, CAST)
    except InputError:
        return
    assert "".join(text[span.start : span.end] for span in spans) == text
    assert [span.start for span in spans][1:] == [span.end for span in spans][:-1]
    for span in spans:
        if span.kind == "mark":
            assert text[span.start : span.end].lstrip()[:1] in ("[", "A")


def test_every_line_of_a_play():
    """The play tables of Earnest, as lines with names, go to who speaks them."""
    path = Path(__file__).with_name("labels") / "earnest.tsv"
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    text = "\n\n".join(f"{name}: {line}" if name else line for name, line in rows)
    cast = Cast({name.lower(): name for name, _ in rows if name})
    assert sum(bool(name) for name, _ in rows) == 879
    assert said(text, cast) == joined(rows)


def joined(rows):
    """Who says what; what the narrator says in a row is one span."""
    speeches = []
    for name, line in rows:
        if not name and speeches and not speeches[-1][0]:
            line = f"{speeches.pop()[1]}\n\n{line}"
        speeches.append((name, line))
    return speeches


FORMS = ("[{name}] {line}", "[{name}, angry] {line}", "{name}: {line}", "{name} (soft): {line}")
NAMES = ("Anna", "the Wolf", "Wolf", "Ann")
LINES = (
    "Come in.", "I said: go!", "Anna is here.", "No [laugh] no.", "Wait. [pause 1s] Now.",
    "It is 5:30.", "“Anna: no,” he said.", "See [London, 1884].", "One (soft) word:", "a\nb: c",
)  # fmt: skip


def test_500_made_lines():
    """Marks of every form, with lines that look like marks, and the narrator between them."""
    dice = random.Random(22)
    text, expected = [], []
    for number in range(500):
        form, name, line = (dice.choice(kinds) for kinds in (FORMS, NAMES, LINES))
        spelled = dice.choice((name, name.upper(), name.lower()))
        line = f"{line} {number}"
        mood = ("angry",) if "angry" in form else ("soft",) if "soft" in form else ()
        text += [form.format(name=spelled, line=line), f"Then it was still {number}."]
        expected += [(CAST.speaker(name), *mood, line), ("", f"Then it was still {number}.")]
    assert said("\n\n".join(text)) == expected


SPOKEN = [
    "“",
    "”",
    '"',
    "„",
    "«",
    "»",
    "‘",
    "’",
    "—",
    "said ",
    "Anna ",
    "he ",
    "dit-elle",
    "¿",
    ": ",
    ". ",
]


def test_10_000_texts_of_marks_and_quotes_are_tiled():
    """Marks come first; quotes stand in what marks leave to the narrator."""
    dice = random.Random(10)
    given = 0
    pieces = [*PIECES, *SPOKEN, "[voice: x]", "[Anna] "]
    for _ in range(10_000):
        text = "".join(dice.choices(pieces, k=dice.randrange(26)))
        language = dice.choice(("en", "de", "fr", "es", "nl"))
        try:
            marks, _ = read_marks(text, CAST)
        except InputError:
            marks = []
        quotes = dice.choice(("narrator", "one", "attributed"))
        spans, unsure = read_quotes(text, CAST, quotes=quotes, language=language, spans=marks)
        assert "".join(text[span.start : span.end] for span in spans) == text
        decided = [span for span in marks if not span.is_plain]
        assert [span for span in spans if span.reason == "mark"] == decided, text
        for quote in unsure:
            around = [span for span in spans if span.start <= quote.start < span.end]
            assert around[0].end >= quote.end, text
            assert around[0].is_plain, text
        given += sum(span.reason not in ("", "mark") for span in spans)
    assert given > 1_000


def test_a_mark_of_the_narrator_ends_what_another_began():
    text = "[voice: x]\n\nA.\n\n[voice: narrator]\n\nB."
    assert said(text, Cast({})) == [("x", "A."), ("", "B.")]
