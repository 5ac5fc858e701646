"""Lexicon files, YAML and PLS, and the time that their entries take."""

import re

import numpy as np
import pytest
from conftest import ROOT

from chatter_nb.base.errors import InputError
from chatter_nb.text.lexicon import Entry, read_lexicon, write_pls
from chatter_nb.text.replacing import Finder
from chatter_nb.text.spoken.saying import Saying

PLS = """<?xml version="1.0" encoding="UTF-8"?>
<lexicon version="1.0" xmlns="http://www.w3.org/2005/01/pronunciation-lexicon"
  alphabet="ipa" xml:lang="en-US">
  <lexeme><grapheme>Tbilisi</grapheme><grapheme>Tiflis</grapheme>
    <phoneme>təbɪˈliːsi</phoneme><phoneme>other</phoneme></lexeme>
  <lexeme><grapheme>W3C</grapheme><alias>World Wide Web Consortium</alias></lexeme>
  <lexeme><grapheme>Mtskheta</grapheme>
    <phoneme alphabet="x-sampa">"mtsxEt@</phoneme>
    <phoneme alphabet="x-kirshenbaum">mts</phoneme>
    <phoneme alphabet="x-arpabet">M AH0 T</phoneme></lexeme>
</lexicon>
"""


def lexicon(folder, text, name="names.yaml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_line_is_a_word_and_its_respelling(tmp_path):
    text = "Siobhan: Shivawn\nNice:\n  ipa: niːs\n  language: en\n  case: true\n  note: the city\n"
    assert read_lexicon(lexicon(tmp_path, text)) == [
        Entry("Siobhan", say="Shivawn"),
        Entry("Nice", ipa="niːs", language="en", case=True, note="the city"),
    ]


def test_the_readmes_lexicon_is_one(tmp_path):
    page = (ROOT / "chatter_nb" / "text" / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```text\n(.+?)```", page, re.DOTALL)
    assert [entry.forms for entry in read_lexicon(lexicon(tmp_path, example))] == [
        *("all", "all", "exact")
    ]


def test_pls_is_read_whole_and_written_back(tmp_path):
    entries = read_lexicon(lexicon(tmp_path, PLS, "georgia.pls"))
    assert entries == [
        Entry("Tbilisi", ipa="təbɪˈliːsi", language="en-US"),
        Entry("Tiflis", ipa="təbɪˈliːsi", language="en-US"),
        Entry("W3C", say="World Wide Web Consortium", language="en-US"),
        Entry("Mtskheta", ipa="ˈmtsxɛtə", arpabet="M AH0 T", language="en-US"),
    ]
    write_pls(entries, tmp_path / "again.pls", "en-US")
    assert read_lexicon(tmp_path / "again.pls") == entries


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Siobhan: 3\n", "'Siobhan': 3 is no respelling: put it in quotes"),
        ("Siobhan:\n  sya: Shivawn\n", "'Siobhan': unknown name 'sya'; did you mean say?"),
        ("Siobhan:\n  case: 'yes'\n  say: x\n", "'Siobhan': case: 'yes' must be true or false"),
        ("Siobhan:\n  note: of Cork\n", "'Siobhan': give say, ipa or arpabet"),
        ("Siobhan:\n  say: x\n  forms: none\n", "'Siobhan': forms: 'none' must be all or exact"),
        ("'...': dots\n", "'...' has no letter: give a word"),
        ("a: b\na: c\n", "'a' is given twice"),
        ("- a\n", "must hold 'name: value' lines"),
        ("<html/>", "is no PLS: its root is html"),
        ("<lexicon", "is no XML"),
        ("<!DOCTYPE x [<!ENTITY e 'x'>]><lexicon>&e;</lexicon>", None),
    ],
)
def test_what_is_no_lexicon_is_told_with_its_file(tmp_path, text, told):
    path = lexicon(tmp_path, text)
    if told is None:
        assert read_lexicon(path) == []
        return
    with pytest.raises(InputError) as caught:
        read_lexicon(path)
    assert str(path) in str(caught.value)
    assert told in str(caught.value)


def test_every_problem_is_told_at_once(tmp_path):
    with pytest.raises(InputError, match=r"(?s)'a': 1 is.*'b': 2 is"):
        read_lexicon(lexicon(tmp_path, "a: 1\nb: 2\nc: d\n"))


@pytest.mark.parametrize(
    ("entry", "engine", "language", "holds"),
    [
        (Entry("a", say="b"), "hibari", "en", True),
        (Entry("a", say="b", language="en"), "hibari", "en-GB", True),
        (Entry("a", say="b", language="en-US"), "hibari", "en", True),
        (Entry("a", say="b", language="en-US"), "hibari", "en-GB", False),
        (Entry("a", say="b", language="e"), "hibari", "en", False),
        (Entry("a", say="b", engine="chatterbox"), "hibari", "en", False),
    ],
)
def test_an_entry_may_be_for_one_language_or_engine(entry, engine, language, holds):
    assert entry.holds(engine, language) is holds


@pytest.mark.parametrize(
    ("entry", "text", "said"),
    [
        (Entry("nice", say="x"), "nice Nice", "x x"),
        (Entry("Nice", say="x"), "nice Nice", "nice x"),
        (Entry("nice", say="x", case=True), "nice Nice", "x Nice"),
        (Entry("Nice", say="x", case=False), "nice Nice", "x x"),
        (Entry("Nice", say="x", forms="exact"), "Nice's Nices Nice", "Nice's Nices x"),
    ],
)
def test_case_and_forms_of_an_entry(entry, text, said):
    finder = Finder([entry.rule(entry.say)])
    assert Saying("en", finders=[("lexicon", finder)]).say(text).text == said


def test_time_grows_with_the_text_and_not_with_the_entries():
    """Looked at, not timed: letters of the text that are compared."""
    words = ["".join(np.random.default_rng(n).choice(list("abcdefgh"), 6)) for n in range(2_000)]
    looked_at = []

    class Counted(str):
        def __getitem__(self, place):
            looked_at.append(place)
            return super().__getitem__(place)

    text = Counted(" ".join(words))
    for entries in (words[:10], words[::2]):
        looked_at.clear()
        list(Finder(Entry(word, say="x").rule("x") for word in entries).find(text))
        assert len(looked_at) < 3 * len(text)
