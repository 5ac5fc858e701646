"""Lexicon files, YAML and PLS, and the time that their entries take."""

import re
import signal
import subprocess
import sys
import unicodedata

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from chatter_nb.base.errors import InputError
from chatter_nb.text.lexicon import Entry, add_entries, read_lexicon, write_pls
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


KEPT = (
    "# people\nAnna: Ah-na # the aunt\n"
    "Siobhan:\n  ipa: ʃəvˈɔn\n  note: x\n\n# places\nNice: Neece\n"
)


def test_entries_are_added_below_and_what_is_there_stays_as_it_is(tmp_path):
    path = lexicon(tmp_path, KEPT)
    told = add_entries(path, {"Nguyen": " win ", "No": "yes: it is"})
    assert told == ["Nguyen: win", "No: yes: it is"]
    assert path.read_text(encoding="utf-8") == f"{KEPT}Nguyen: win\n'No': 'yes: it is'\n"
    assert read_lexicon(path)[-1] == Entry("No", say="yes: it is")


def test_an_entry_that_is_there_is_replaced_at_its_place_and_told(tmp_path):
    path = lexicon(tmp_path, KEPT)
    told = add_entries(path, {"Siobhan": "Shivawn", "Anna": "Anne-a"})
    assert told[1] == "Anna: Anne-a, was 'Ah-na'"
    assert "ʃəvˈɔn" in told[0]
    wanted = "# people\nAnna: Anne-a # the aunt\nSiobhan: Shivawn\n\n# places\nNice: Neece\n"
    assert path.read_text(encoding="utf-8") == wanted


def test_a_missing_file_is_made_and_line_ends_stay(tmp_path):
    add_entries(tmp_path / "new.yaml", {"Siobhan": "Shivawn"})
    assert (tmp_path / "new.yaml").read_bytes() == b"Siobhan: Shivawn\n"
    (tmp_path / "windows.yaml").write_bytes(b"\xef\xbb\xbf# a\r\nNice: Neece")
    add_entries(tmp_path / "windows.yaml", {"Nice": "Niece", "Anna": "Ah-na"})
    assert (tmp_path / "windows.yaml").read_bytes() == b"# a\r\nNice: Niece\r\nAnna: Ah-na\r\n"
    decomposed = lexicon(tmp_path, "Zoe\u0308: Zoey\n")
    add_entries(decomposed, {"Zo\u00eb": "Zo-ee"})
    assert [entry.say for entry in read_lexicon(decomposed)] == ["Zo-ee"]


@pytest.mark.parametrize(
    ("text", "said", "told"),
    [
        ("{Nice: Neece}\n", {"Anna": "Ah-na"}, "write it as `word: respelling` lines"),
        ("Nice: Neece\n...\n", {"Anna": "Ah-na"}, "write it as `word: respelling` lines"),
        ("Nice: Neece\n", {"Anna": " "}, "'Anna': give say, ipa or arpabet"),
        ("Nice: Neece\n", {"...": "dots"}, "'...' has no letter"),
        ("Nice: 3\n", {"Anna": "Ah-na"}, "'Nice': 3 is no respelling"),
        (PLS, {"Anna": "Ah-na"}, "is PLS, which other programs write: name a YAML file"),
    ],
)
def test_what_cannot_be_added_is_told_and_the_file_stays(tmp_path, text, said, told):
    path = lexicon(tmp_path, text)
    with pytest.raises(InputError) as refusal:
        add_entries(path, said)
    assert told in str(refusal.value)
    assert path.read_text(encoding="utf-8") == text


@given(
    entries=st.dictionaries(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=12)),
    comment=st.booleans(),
)
def test_any_words_are_read_back_as_they_were_entered(tmp_path_factory, entries, comment):
    path = tmp_path_factory.mktemp("any") / "a.yaml"
    path.write_text("# mine\nNice: Neece # the city\n" * comment)
    for word, say in entries.items():
        try:
            add_entries(path, {word: say})
        except InputError:
            continue
        held = {entry.word: entry.say for entry in read_lexicon(path)}
        assert held[_tidy(word)] == _tidy(say)
        assert path.read_text(encoding="utf-8").startswith("# mine\n" * comment)


def _tidy(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def test_a_kill_between_writing_and_renaming_loses_nothing(tmp_path):
    path = lexicon(tmp_path, KEPT)
    program = (
        "import os, pathlib, signal, sys\n"
        "from chatter_nb.text.lexicon import add_entries\n"
        "os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)\n"
        "add_entries(pathlib.Path(sys.argv[1]), {'Anna': 'Anne-a', 'Nguyen': 'win'})\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(path)])
    assert killed.returncode == -signal.SIGKILL
    (part,) = tmp_path.glob(".*.part")  # it was written whole
    assert "Nguyen: win" in part.read_text(encoding="utf-8")
    assert path.read_text(encoding="utf-8") == KEPT
    add_entries(path, {"Anna": "Anne-a", "Nguyen": "win"})
    assert len(read_lexicon(path)) == 4


def test_a_pls_of_unknown_sounds_is_refused(tmp_path):
    pls = tmp_path / "a.pls"
    entry = "<lexeme><grapheme>Niamh</grapheme><phoneme>x</phoneme></lexeme>"
    pls.write_text(f'<lexicon alphabet="x-foo">{entry}</lexicon>')
    with pytest.raises(InputError, match="Niamh: alphabet 'x-foo': ipa, x-sampa and x-arpabet"):
        read_lexicon(pls)
