"""What a voice cannot speak: found before a sample is made, refused with a cure, or left out."""

import pickle
import re
from collections import Counter

import pytest
import yaml
from epubs import build_epub
from hypothesis import given
from hypothesis import strategies as st

from chatter_nb.base.errors import InputError
from chatter_nb.engines.hibari_text import Reader
from chatter_nb.engines.refusal import Unspeakable, replacements_block
from chatter_nb.pages.review import review_data
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.edits import edit_of
from chatter_nb.runs.revise import make_line
from chatter_nb.runs.speak_plan import plan_speech
from chatter_nb.runs.speak_texts import read_texts
from chatter_nb.runs.unspeakable import unknown_in

CHAPTERS = {
    "The Fox": "<p>He wrote λόγος, and said 你好 to her.</p><p>你好。</p><p>It was Hallward.</p>",
    "The Crow": "<p>The sign for water: 水.</p><p>Its name is /ˈwɔːtə/ here 🙂.</p>",
    "The Hare": "<p>The sign for water: 火.</p><p>It was late.</p><p>She said 你好 again.</p>",
}
# What is left of each paragraph for the voice; None: all.
SAID = {
    "He wrote λόγος, and said 你好 to her.": "He wrote , and said to her.",
    "你好。": "。",
    "The sign for water: 水.": "The sign for water: .",
    "Its name is /ˈwɔːtə/ here 🙂.": "Its name is // here 🙂.",
    "It was late.": None,
    "The sign for water: 火.": "The sign for water: .",
    "She said 你好 again.": "She said again.",
}


@pytest.fixture
def book(tmp_path):
    documents = {f"{n}.xhtml": f"<h1>{t}</h1>{CHAPTERS[t]}" for n, t in enumerate(CHAPTERS)}
    entries = [(title, f"{number}.xhtml") for number, title in enumerate(CHAPTERS)]
    return build_epub(tmp_path / "tales.epub", documents, entries)


def params(path, **values):
    own = {"text_file": str(path), "engine": "hibari", "outputs_dir": str(path.parent / "out")}
    return SpeakParams.create(own | values)


def refusal_of(params):
    with pytest.raises(InputError) as refusal:
        plan_speech(params)
    return str(refusal.value)


def block_of(message):
    return yaml.safe_load(message[message.index("replacements:  #") :])["replacements"]


def test_all_letters_are_refused_at_once_with_names_numbers_and_places(book):
    """The worst first, in one error for the whole book."""
    lines = refusal_of(params(book)).splitlines()
    assert "would leave out or spell 你 (3 times), 好 (3 times)" in lines[0]
    assert "would leave out ˈwɔːtə: it knows no sound for it" in lines[1]
    assert lines[2] == "To go on without it, each such chunk marked: unspeakable: note"
    assert lines[3] == (
        "  你 CJK UNIFIED IDEOGRAPH-4F60, 3 times: "
        "chapter 1, The Fox: “λόγος, and said 你好 to her.”; chapter 1, The Fox: “你好。”; "
        "chapter 3, The Hare: “She said 你好 again.”"
    )
    assert [line.split()[0] for line in lines[3:]][:9] == [*"你好λόγος水", "ˈwɔːtə,"]
    assert "  λ GREEK SMALL LETTER LAMDA, 1 time: chapter 1, The Fox: “He wrote λόγος" in lines[5]


def test_the_block_is_a_cure(book, speak):
    """As it is, and with words to say between its quotes."""
    block = block_of(refusal_of(params(book)))
    assert block == {"你好": "", "λόγος": "", "水": "", "火": "", "ˈwɔːtə": ""}
    assert speak(text="", text_file=str(book), replacements=block).record.status == "ok"
    words = dict(zip(block, ("hello", "logos", "water", "fire", "water"), strict=True))
    plan = plan_speech(params(book, replacements=words))
    assert plan.chunks[1].chunk.spoken == "He wrote logos, and said hello to her."


def test_a_proposal_keeps_what_a_latin_letter_is():
    """Without its stroke, or taken apart; other words are left to a person."""
    words = {"Søren": "Soren", "Łódź": "Lódź", "dæmon": "daemon", "ﬁne": "fine"}
    words |= {"水": "", "αβ": "", "β": "beta"}
    assert yaml.safe_load(replacements_block(Counter(words.keys())))["replacements"] == words


def test_files_of_a_folder_have_one_error_and_one_block(tmp_path):
    for name, words in {"a": "An α ray.", "b": "A β ray and an α ray."}.items():
        (tmp_path / f"{name}.txt").write_text(words)
    message = refusal_of(params(tmp_path, merge=False))
    assert message.count("replacements:  #") == 1
    assert block_of(message) == {"α": "alpha", "β": "beta"}
    assert (
        "  α GREEK SMALL LETTER ALPHA, 2 times: a: “An α ray.”; b: “ray and an α ray.”" in message
    )


def test_chapters_that_are_not_chosen_are_no_hindrance(book):
    message = refusal_of(params(book, chapters="2"))
    assert "水" in message
    assert "λ" not in message


def test_a_run_goes_on_without_and_marks_each_chunk(book, speak):
    """Shown text keeps the letters; a chunk without a word left is its pause: no call."""
    speech = speak(text="", text_file=str(book), unspeakable="note")
    chunks = {chunk.text.strip(): chunk for chunk in speech.record.chunks}
    lost = {text: chunk.unspoken for text, chunk in chunks.items() if chunk.unspoken}
    assert lost == {
        "He wrote λόγος, and said 你好 to her.": "λόγος 你好",
        "你好。": "你好",
        "The sign for water: 水.": "水",
        "Its name is /ˈwɔːtə/ here 🙂.": "ˈwɔːtə",
        "The sign for water: 火.": "火",
        "She said 你好 again.": "你好",
    }
    pause = chunks["你好。"]
    assert (pause.attempts, pause.cached, pause.end_s - pause.start_s) == (0, False, 0)
    assert pause.pause_ms == 600
    (told,) = [note for note in speech.record.warnings if note.startswith("not spoken")]
    assert told.startswith("not spoken, in 6 chunks: 你 (3 times), 好 (3 times), λ, ό, γ")


def test_the_voice_gets_the_rest(book):
    plan = plan_speech(params(book, unspeakable="note"))
    said = {planned.chunk.text.strip(): planned.chunk.said for planned in plan.chunks}
    assert {text: said[text] for text in SAID} == SAID


def test_what_is_left_out_is_no_doubt_of_the_check(speak):
    text = "The letter 水 stands for water, and the river is wide."
    record = speak(text=text, unspeakable="note", verify="fast", verify_workers=0).record
    assert (record.chunks[0].verdict, record.chunks[0].unspoken) == ("ok", "水")


def test_chosen_chapters_sound_as_in_the_whole_book(book):
    """Chunks that lose other letters may have the same words left: their keys do not shift."""
    whole = plan_speech(params(book, unspeakable="note"))
    part = plan_speech(params(book, unspeakable="note", chapters="3"))
    keys = [p.key for p in whole.chunks if p.placed.chapter == 3]
    assert [planned.key for planned in part.chunks] == keys


def test_a_text_of_nothing_else_is_refused_in_both_modes(tmp_path):
    (tmp_path / "a.txt").write_text("你好, λόγος!")
    assert "there is nothing to speak" in refusal_of(params(tmp_path, unspeakable="note"))
    assert "你 CJK" in refusal_of(params(tmp_path))


@pytest.mark.parametrize("text", ["The ¹a of May, {}.", "A lone ǆ and {}.", "Say /ˈwɔːtə/ now. {}"])
def test_words_that_hibari_fails_at_or_has_no_sound_for_are_left_out_too(text, tmp_path):
    (tmp_path / "a.txt").write_text(text.format("1" * 40))
    plan = plan_speech(params(tmp_path, unspeakable="note", normalize="off"))
    lost = " ".join(planned.chunk.unspoken for planned in plan.chunks).split()
    assert "1" * 40 in lost
    assert len(lost) == (1 if "ˈ" in text else 2)


def test_a_line_is_made_again_without_them_and_the_review_shows_them(book, speak):
    """Also the line that has become a pause: it may be given other words."""
    speech = speak(text="", text_file=str(book), unspeakable="note")
    chunk = next(c for c in speech.record.chunks if "水" in c.text)
    assert make_line(speech, edit_of(chunk)).key == chunk.key
    again = make_line(speech, edit_of(chunk).model_copy(update={"words": "The 火 is hot."}))
    assert len(again.audio) > 0
    lines = {line["text"].strip(): line for line in review_data(speech)["lines"]}
    assert lines["你好。"]["unspoken"] == "你好"
    assert lines["It was late."]["unspoken"] == ""


PLAIN = st.lists(
    st.sampled_from(["It", "was", "café,", "Zoë’s", "“5", "€”", "№", "🙂", "—", "x²."])
)


@given(words=PLAIN)
def test_a_text_without_unknown_letters_is_untouched(words):
    """The same chunks, keys and notes with both values; names of runs too."""
    own = {"text": " ".join(["Yes.", *words]), "engine": "hibari"}
    modes = [SpeakParams.create(own | {"unspeakable": mode}) for mode in ("refuse", "note")]
    refuse, note = map(plan_speech, modes)
    assert refuse.chunks == note.chunks
    assert refuse.warnings == note.warnings
    assert not any(planned.chunk.unspoken for planned in note.chunks)
    assert "unspeakable" not in modes[0].deciding()


@given(
    text=st.text(st.sampled_from("ab α你न\u0941ं.,-\n1")),
    letters=st.sets(st.sampled_from("α你न")),
    words=st.sets(st.sampled_from(["ab", "a1", "b"])),
)
def test_letters_go_everywhere_and_words_only_whole(text, letters, words):
    error = Unspeakable()
    error.letters, error.words = letters, words
    said = error.pattern(text).sub("", text)
    assert letters.isdisjoint(said)
    if not letters:
        assert re.findall(r"\w+", said) == [w for w in re.findall(r"\w+", text) if w not in words]
    rest = iter(text)
    assert all(char in rest for char in said)  # nothing is added, and the order stays


def test_hibaris_reader_knows_all_letters_without_a_model():
    with pytest.raises(Unspeakable) as refusal:
        Reader().check("Hello 你好 and ¹a.")
    assert refusal.value.letters == {"你", "好"}
    assert refusal.value.words == {"¹a"}


def test_contents_tells_unknown_letters_and_guessed_words(cli, book):
    lines = cli("contents", book, "-p", "engine=hibari", check=0).stdout.splitlines()
    letters = ["你 (3 times)", "好 (3 times)", *"λόγος水", "ˈwɔːtə", "火"]
    assert lines[-2] == f"cannot be spoken: {', '.join(letters)}"
    assert lines[-1] == "in no dictionary, its sound is a guess: Hallward"


def test_what_is_not_known_of_a_document(tmp_path):
    """Replacements count, and so do the chosen chapters; names lose their possessive."""
    path = tmp_path / "a.txt"
    path.write_text("Chapter One\n\nHallward’s α and Hallward.\n\nChapter Two\n\nKelso’s β.")
    (source,) = read_texts(params(path))
    unknown = unknown_in(source, params(path))
    assert (unknown.unspeakable, unknown.guessed) == ({"α": 1, "β": 1}, {"Hallward": 2, "Kelso": 1})
    unknown = unknown_in(source, params(path, chapters="1", replacements={"α": "alpha"}))
    assert (unknown.unspeakable, unknown.guessed) == ({}, {"Hallward": 2})
    assert str(unknown_in(source, params(path, engine="chatterbox"))) == ""


def test_the_error_crosses_processes_whole():
    """A batch's workers send it."""
    with pytest.raises(Unspeakable) as refusal:
        Reader().check("Hello 你.")
    copy = pickle.loads(pickle.dumps(refusal.value))
    assert (str(copy), vars(copy)) == (str(refusal.value), vars(refusal.value))


def test_a_word_with_an_apostrophe_is_no_guess_if_its_parts_are_known():
    words = Counter(["don’t", "I'm", "house's", "Toto’s"])
    assert Reader().guessed(words) == {"Toto’s": 1}
