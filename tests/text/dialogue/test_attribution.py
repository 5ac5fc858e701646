"""Who speaks: how often rules are right on books that were labelled by hand, and what they know."""

import json
from math import sqrt
from pathlib import Path

import pytest

from chatter_nb.base.errors import ParamError
from chatter_nb.text.dialogue.attribution import read_quotes
from chatter_nb.text.dialogue.labels import read_labels
from chatter_nb.text.dialogue.marks import Cast, read_marks
from chatter_nb.text.line import CHAPTER_BREAK
from chatter_nb.text.spans import Span, overlaid

LABELS = Path(__file__).with_name("labels")
CAST = Cast(
    {"anna": "anna", "ben": "ben", "the wolf": "wolf", "old woman": "granny", "will": "will"},
    pronouns={"anna": "she", "ben": "he", "wolf": "he", "granny": "she", "will": "he"},
)


def wilson(right, count):
    """The 95 % interval of a share."""
    z, share = 1.96, right / count
    middle = share + z * z / (2 * count)
    half = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return (middle - half) / (1 + z * z / count), (middle + half) / (1 + z * z / count)


def labelled(book):
    """The text of a book, its cast, and where its quotes begin with who speaks them."""
    text = (LABELS / f"{book}.txt").read_text(encoding="utf-8")
    labels = json.loads((LABELS / f"{book}.json").read_text(encoding="utf-8"))
    people = labels["cast"]
    names = {name: who for who, one in people.items() for name in (who, *one["aliases"])}
    speakers, at = {}, 0
    for number, paragraph in enumerate(text.split("\n\n")):
        places = [at + n for n, char in enumerate(paragraph) if char == "“"]
        told = labels["speakers"].get(str(number), [])
        speakers |= dict(zip(places, told, strict=True))
        at += len(paragraph) + 2
    pronouns = {who: one["pronoun"] for who, one in people.items()}
    return (
        text.replace("\n\nChapter", f"\n{CHAPTER_BREAK}Chapter"),
        Cast(names, (), pronouns),
        speakers,
    )


@pytest.mark.parametrize(("book", "quotes"), [("oz", 250), ("pride", 300)])
def test_right_where_it_speaks(book, quotes, record_property):
    """97 % right where a speaker is given, and given for 60 % of all quotes."""
    text, cast, speakers = labelled(book)
    spans, unsure = read_quotes(text, cast, quotes="attributed")
    given = {
        at: next(span.speaker for span in spans if span.start <= at < span.end) for at in speakers
    }
    spoken = [at for at in speakers if given[at]]
    right = sum(given[at] == speakers[at] for at in spoken)
    low, high = wilson(right, len(spoken))
    figures = f"{right} of {len(spoken)} right ({low:.1%} to {high:.1%}), of {len(speakers)} quotes"
    record_property(book, figures)
    assert len(speakers) >= quotes
    assert right >= 0.97 * len(spoken), figures
    assert len(spoken) >= 0.60 * len(speakers), figures
    listed, silent = {span.start for span in unsure}, set(speakers) - set(spoken)
    assert listed <= silent
    assert all(len(text[at:].partition("”")[0].split()) <= 3 for at in silent - listed)


A, B = "anna", "ben"


def said(text, language="en", cast=CAST):
    """Who says what, without the narrator."""
    spans, _ = read_quotes(text, cast, quotes="attributed", language=language)
    assert "".join(text[span.start : span.end] for span in spans) == text
    return [(span.speaker, text[span.start : span.end].strip()) for span in spans if span.speaker]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("“Hello,” said Anna.", [(A, "“Hello,”")]),
        ("“Hello,” Anna said.", [(A, "“Hello,”")]),
        ('"Hello," said Anna.', [(A, '"Hello,"')]),
        ("‘Dogs’ tails,’ said Anna, ‘don’t.’", [(A, "‘Dogs’ tails,’"), (A, "‘don’t.’")]),
        ("Anna turned and said, “Go!”", [(A, "“Go!”")]),
        ("Then the old woman, who was tired, cried: “Go!”", [("granny", "“Go!”")]),
        ("“1,” cried the little old woman; “2.”", [("granny", "“1,”"), ("granny", "“2.”")]),
        ("Ben looked up. He said to Anna, “Go!”", [(B, "“Go!”")]),
        ("“Go,” said he to Anna.\n\nBen left.", []),
        ("“Go,” said Anna’s mother.", []),
        ("“Go,” said Anna and Ben.", []),
        ("“Go,” said the other wolf.", []),
        ("“Go,” said will.", []),
        ("“Go,” said Will.", [("will", "“Go,”")]),
        ("“Go,” said Miss Anna.", []),
        ("“Go.” Anna said nothing.", []),
        ("She called it “a large wolf” and Anna laughed.", []),
        ("Anna said it was “fine” there.", []),
        ("“1,” said Anna.\n\n“2,” said Ben.\n\n“3.”", [(A, "“1,”"), (B, "“2,”"), (A, "“3.”")]),
        ("“1,” said Anna.\n\n“2,” said Ben.\n\n“3, Anna?”", [(A, "“1,”"), (B, "“2,”")]),
        ("“Ben, go,” said Anna.\n\n“No,” he said.", [(A, "“Ben, go,”"), (B, "“No,”")]),
        ("“1. \n\n“2.\n\n“3,” said Anna.", [(A, "“1."), (A, "“2."), (A, "“3,”")]),
        ("Anna thought for long and said:\n\n“Go!”", [(A, "“Go!”")]),
        ("“Go,” said Anna. “No,” said Ben.", [(A, "“Go,”"), (B, "“No,”")]),
        (f"“1,” said Anna.\n\n“2,” said Ben.\n\n{CHAPTER_BREAK}“3.”", [(A, "“1,”"), (B, "“2,”")]),
    ],
)  # fmt: skip
def test_english(text, expected):
    assert said(text) == expected


DE = Cast({"anna": "anna", "wolf": "wolf"}, pronouns={"anna": "she", "wolf": "he"})
FR = Cast({"anna": "anna", "le loup": "wolf"}, pronouns={"anna": "she", "wolf": "he"})
ES = Cast({"ana": "anna", "el lobo": "wolf"}, pronouns={"anna": "she", "wolf": "he"})


@pytest.mark.parametrize(
    ("language", "cast", "text", "expected"),
    [
        ("de", DE, "„Komm“, sagte Anna. „Schnell!“", [("anna", "„Komm“"), ("anna", "„Schnell!“")]),
        ("de", DE, "»Komm«, rief der böse Wolf.", [("wolf", "»Komm«")]),
        ("de", DE, "Anna sah ihn an und fragte: „Wohin?“", [("anna", "„Wohin?“")]),
        ("de-AT", DE, "„Nein“, sagte er zu Anna.\n\nDer Wolf ging.", []),
        ("fr", FR, "« Viens », dit Anna.", [("anna", "« Viens »")]),
        ("fr", FR, "« Viens, dit le loup, vite. »", [("wolf", "« Viens,"), ("wolf", "vite. »")]),
        ("fr", FR, "— 1, dit Anna.\n— 2, répondit le loup.", [("anna", "— 1,"), ("wolf", "— 2,")]),
        ("fr", FR, "Anna s’arrêta.\n\n— Où ? demanda-t-elle.", [("anna", "— Où ?")]),
        ("es", ES, "—Ven —dijo Ana—. Rápido.", [("anna", "—Ven"), ("anna", "Rápido.")]),
        ("es", ES, "—Ana —dijo el lobo.\n—No —contestó ella.", [("wolf", "—Ana"), ("anna", "—No")]),
        ("es", ES, "—¿Quién es? —preguntó el lobo.", [("wolf", "—¿Quién es?")]),
        ("es", ES, "Ana miró al lobo y dijo: «Ven».", [("anna", "«Ven»")]),
    ],
)  # fmt: skip
def test_other_languages(language, cast, text, expected):
    assert said(text, language, cast) == expected


def test_a_language_without_rules_is_told():
    spans, unsure = read_quotes("“Zo,” zei Anna.", CAST, quotes="attributed", language="nl")
    assert [span.speaker for span in spans] == [""]
    assert [(span.start, span.end, span.reason) for span in unsure] == [(0, 5, "no rules for nl")]


def test_what_is_unsure_is_listed_with_its_place_and_reason():
    text = "“One,” said the queen, and left.\n\nA.\n\nB.\n\n“Two,” said he.\n\n“Three\n\nThe end."
    _, unsure = read_quotes(text, CAST, quotes="attributed")
    assert [(text[span.start : span.end], span.reason) for span in unsure] == [
        ("“One,”", "said the queen: not in the cast"),
        ("“Two,”", "said he: nobody fits"),
        ("“Three", "no mark closes it"),
    ]


def test_the_reason_stands_in_the_span():
    spans, _ = read_quotes("“Hello,” said Anna.", CAST, quotes="attributed")
    assert spans[0] == Span(0, 8, "text", "anna", "", "said Anna")
    spans, _ = read_quotes("“1,” said Anna. “2,” Ben cried.", CAST, quotes="attributed")
    assert [span.reason for span in spans] == ["said Anna", "", "Ben cried", ""]


def test_all_quotes_may_have_one_speaker():
    text = "“Hello,” said Anna, who was “kind” to him."
    spans, unsure = read_quotes(text, CAST, quotes="one")
    assert [text[span.start : span.end] for span in spans if span.speaker == "quotes"] == [
        "“Hello,”"
    ]
    assert unsure == []
    assert read_quotes(text, CAST, quotes="narrator") == ([Span(0, len(text))], [])


def test_labels_win_over_rules_and_marks_over_labels(tmp_path):
    text = "“One,” said Anna.\n\n“Two,” said Anna.\n\n[Ben] “Three,” said Anna."
    places = [(text.index("“Two"), "wolf"), (text.index("“Three"), "wolf"), (0, "")]
    rows = [{"start": at, "end": at + 6, "speaker": who} for at, who in places]
    path = tmp_path / "labels.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    marks, _ = read_marks(text, CAST)
    below = list(overlaid(read_labels(path, len(text)), marks, len(text)))
    spans, _ = read_quotes(text, CAST, quotes="attributed", spans=below)
    speakers = [(span.speaker, text[span.start : span.end]) for span in spans if span.speaker]
    assert speakers == [("wolf", "“Two,”"), ("ben", "[Ben]"), ("ben", " “Three,” said Anna.")]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("hello", r"line 1: 'hello': Invalid JSON: .*; write \{\"start\": 0, \"end\": 12"),
        ('{"start": 1}', "line 1: .* end Field required; write"),
        (
            '\n{"start": 5, "end": 2, "speaker": "a"}',
            "line 2: start and end are 5 and 2; give 0 <= start",
        ),
        ('{"start": 0, "end": 99, "speaker": "a"}', "0 <= start < end <= 20"),
        (
            '{"start": true, "end": 2, "speaker": "a"}',
            "line 1: .* start Input should be a valid integer",
        ),
        (
            '{"start": 0, "end": 2, "speaker": 7}',
            "line 1: .* speaker Input should be a valid string",
        ),
        (
            '{"start": 4, "end": 8, "speaker": "a"}\n{"start": 0, "end": 5, "speaker": "b"}\nx',
            "(?s)line 3: 'x'.*lines 2 and 1 overlap: end one before",
        ),
    ],
)
def test_a_file_of_labels_is_refused_with_line_and_cure(tmp_path, lines, told):
    path = tmp_path / "labels.jsonl"
    path.write_text(lines, encoding="utf-8")
    with pytest.raises(ParamError, match=told):
        read_labels(path, 20)
