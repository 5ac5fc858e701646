"""Names: what a voice guesses at in a text, heard in it, and said right by the next run."""

import pytest
import soundfile
from conftest import ROOT

from chatter_nb.base.errors import InputError
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.names import enter, heard, lexicon_of, names_in
from chatter_nb.text.lexicon import read_lexicon

TEXT = (
    "Siobhan met Nguyen at the harbour. “Nguyen,” said Siobhan’s mother, “is late.”\n\n"
    "The sea was calm, and nobody spoke.\n\nThen Nguyen and Siobhan laughed, bravoly."
)


def params(folder, **values) -> SpeakParams:
    values = {"text": TEXT, "engine": "hibari", "chunk_chars": 80} | values
    return SpeakParams.create(values | {"outputs_dir": str(folder)})


def counted(given: SpeakParams, **values) -> dict[str, int]:
    return {name.word: name.times for name in names_in(given, **values)[0]}


def test_guesses_come_by_number_with_sounds_and_first_sentences(tmp_path):
    names, told = names_in(params(tmp_path))
    assert [(n.word, n.times) for n in names] == [("Siobhan", 3), ("Nguyen", 3), ("bravoly", 1)]
    assert names[0].sentence == "Siobhan met Nguyen at the harbour."
    assert names[2].sentence == "Then Nguyen and Siobhan laughed, bravoly."
    assert names[0].sounds == "sɪˈɑbhən"
    assert told == "the voice guesses at 3 words"
    assert names_in(params(tmp_path), 1)[1].endswith("3 words, the 1 most frequent here")
    assert names_in(params(tmp_path, text="The sea was calm."))[1] == "the voice guesses at 0 words"


def test_what_is_said_already_is_no_guess(tmp_path):
    """In possessives too; and the sentence that is shown keeps its words."""
    said = params(tmp_path, replacements={"Siobhan": "Shivawn"})
    assert counted(said) == {"Nguyen": 3, "bravoly": 1}
    assert names_in(said)[0][0].sentence == "Siobhan met Nguyen at the harbour."
    lexicon = tmp_path / "a.yaml"
    lexicon.write_text("Nguyen: win\nbravoly: bravely\n")
    assert counted(params(tmp_path, lexicon=str(lexicon))) == {"Siobhan": 3}


def test_an_engine_without_a_dictionary_guesses_at_names(tmp_path):
    """A lower-case word is read by its letters; a name and a foreign word may not be."""
    other = {"engine": "chatterbox", "text": "Siobhan sang bravoly of Łódź and the szczęściarz."}
    names, _ = names_in(params(tmp_path, **other))
    assert [n.word for n in names] == ["Siobhan", "Łódź", "szczęściarz"]
    assert {n.sounds for n in names} == {""}
    german = params(tmp_path, engine="chatterbox-multilingual", language="de")
    assert names_in(german)[0] == []
    assert "language 'de' has no list of words here" in names_in(german)[1]


def test_only_chosen_chapters_and_letters_that_can_be_spoken(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("Chapter One\n\nHallward’s Kelso你 and 你.\n\nChapter Two\n\nKelso.")
    given = params(tmp_path, text="", text_file=str(path))
    assert counted(given) == {"Hallward": 1, "Kelso": 2}
    assert counted(given.model_copy(update={"chapters": "2"})) == {"Kelso": 1}


def test_a_word_is_heard_for_two_seconds_and_made_once(tmp_path):
    given = params(tmp_path, speed=1.1, master="acx", formats="m4b", replacements={"x": "y"})
    path = heard(given, "Siobhan")
    audio, rate = soundfile.read(path)
    assert 1 < len(audio) / rate < 3
    written = path.stat().st_mtime_ns
    assert heard(given, "Siobhan") == path
    assert path.stat().st_mtime_ns == written
    assert heard(given, "Shivawn") != path
    assert heard(given.model_copy(update={"speed": 0.8}), "Siobhan") != path
    assert not list(tmp_path.glob("[!.]*"))  # among the voices' samples, not among the runs


def test_what_is_entered_is_said_and_only_its_chunks_are_made_again(tmp_path, speak):
    before = speak(text=TEXT, chunk_chars=80).record.chunks
    given = params(tmp_path, text="", text_file=str(tmp_path / "story.txt"))
    assert lexicon_of(given) == tmp_path / "lexicon.yaml"
    given, told = enter(given, {"Nguyen": "win"})
    assert told == ["Nguyen: win"]
    assert given.lexicon == (str(tmp_path / "lexicon.yaml"),)
    after = speak(text=TEXT, chunk_chars=80, lexicon=given.lexicon).record.chunks
    assert [chunk.text for chunk in after] == [chunk.text for chunk in before]
    made = {a.text for a, b in zip(after, before, strict=True) if a.key != b.key}
    assert made == {chunk.text for chunk in after if "Nguyen" in chunk.text}
    assert len(made) < len(after)
    respelled = speak(text=TEXT.replace("Nguyen", "win"), chunk_chars=2000, run_name="respelled")
    whole = speak(text=TEXT, chunk_chars=2000, lexicon=given.lexicon, run_name="whole")
    assert whole.record.files[0].sha256 == respelled.record.files[0].sha256


def test_new_words_go_to_the_first_lexicon_which_counts_most(tmp_path):
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    second.write_text("Nguyen: wrong\n")
    given, _ = enter(params(tmp_path, lexicon=[str(first), str(second)]), {"Nguyen": "win"})
    assert given.lexicon == (str(first), str(second))
    assert [entry.say for entry in read_lexicon(first)] == ["win"]
    assert lexicon_of(params(tmp_path)) == ROOT / "lexicon.yaml"


def test_a_lexicon_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match=r"cannot read lexicon .*gone\.yaml"):
        names_in(params(tmp_path, lexicon=str(tmp_path / "gone.yaml")))
