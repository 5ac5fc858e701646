"""Pairs of words in every spelling that people use, on every surface."""

import pytest
import yaml

from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.cli.options import params_of
from chatter_nb.params.pairs import pairs_text, read_pairs
from chatter_nb.params.runs import SpeakParams
from chatter_nb.params.yaml_text import from_yaml, to_yaml

SPELLINGS = (
    "Siobhan = Shivawn",
    "Siobhan=Shivawn",
    "Siobhan: Shivawn",
    "\"Siobhan\": 'Shivawn'",
    "'Siobhan' = Shivawn",
    "{Siobhan: Shivawn}",
    '{"Siobhan": "Shivawn"}',
    "\n Siobhan  =  Shivawn \r\n\n",
)


@pytest.mark.parametrize("text", SPELLINGS)
def test_a_pair_is_read_however_it_is_written(text, tmp_path):
    """By `-p`, in a file, in the YAML of a form and in a notebook's cell."""
    pairs = {"Siobhan": "Shivawn"}
    cell = {"text": "Hi.", "replacements": text}
    written = yaml.safe_dump(cell)
    path = tmp_path / "a.yaml"
    path.write_text(written)
    assert params_of(SpeakParams, None, ["text=Hi.", f"replacements={text}"], {}) == (
        SpeakParams(text="Hi.", replacements=pairs)
    )
    assert SpeakParams.from_file(path).replacements == pairs
    assert from_yaml(SpeakParams, written).replacements == pairs
    assert SpeakParams.from_notebook(cell).replacements == pairs
    assert SpeakParams(**cell).replacements == pairs


DIVIDED = {
    "Dr = Doctor\nSt. John: Sinjin": {"Dr": "Doctor", "St. John": "Sinjin"},
    "Siobhan: Shivawn, Mary Jane = MJ": {"Siobhan": "Shivawn", "Mary Jane": "MJ"},
    "a: b, c: d\ne = f": {"a": "b", "c": "d", "e": "f"},
    "i.e.: that is, to say": {"i.e.": "that is, to say"},
    "Smith, John: Jon": {"Smith, John": "Jon"},
    "E=mc: energy": {"E=mc": "energy"},
    "7:30 = half past: seven": {"7:30": "half past: seven"},
    "see: http://a.b": {"see": "http://a.b"},
    "O'Brien: Oh-Brien, 'tis = it is": {"O'Brien": "Oh-Brien", "'tis": "it is"},
    '"a, b: c" = "d = e", f: g': {"a, b: c": "d = e", "f": "g"},
    "'it''s': \"say \\\"it\\\"\"": {"it's": 'say "it"'},
    '"Dr": "Doctor",\n"St": "Saint",': {"Dr": "Doctor", "St": "Saint"},
    "Emma: {voice: heart, speed: 0.9}, Tom = fenrir": {
        "Emma": {"voice": "heart", "speed": 0.9},
        "Tom": "fenrir",
    },
    "hush: '', hm:": {"hush": "", "hm": ""},
}


@pytest.mark.parametrize("text", DIVIDED)
def test_where_pairs_and_their_parts_divide(text):
    """At lines, at commas before another pair, at the first sign; never inside of quotes."""
    assert read_pairs(text) == DIVIDED[text]


def test_pairs_are_written_as_lines_that_read_the_same():
    """In quotes where a line needs them."""
    plain = {"Dr": "Doctor", "St. John": "Sinjin", "O'B": "o'bee"}
    assert pairs_text(plain) == "Dr = Doctor\nSt. John = Sinjin\nO'B = o'bee"
    odd = ("a = b", "a\nb", " a", "{a", "'a'", '"', "a, b: c", "\\", "a,", "a\u2028b", ": ", "a\tb")
    for written in ({}, plain, {"a": ""}, *({part: part} for part in odd), dict.fromkeys(odd, "x")):
        assert read_pairs(pairs_text(written)) == written


def test_a_mapping_in_a_pair_is_in_braces_without_what_is_not_set():
    cast = {"Emma": {"voice": "heart", "speed": 0.9, "language": None}, "Tom": "fenrir"}
    assert pairs_text(cast) == 'Emma = {"voice": "heart", "speed": 0.9}\nTom = fenrir'
    cast["Emma"].pop("language")
    assert read_pairs(pairs_text(cast)) == cast


def test_pairs_come_back_from_yaml():
    params = SpeakParams(text="Hi.", replacements="a: b, c = d")
    assert from_yaml(SpeakParams, to_yaml(params)) == params


def test_p_may_be_repeated_for_pairs_only(tmp_path):
    """Each is a line of them; together they replace those of the file."""
    path = tmp_path / "a.yaml"
    path.write_text("text: Hi.\nreplacements: {x: y}\n")
    repeated = ["replacements=a: b", "replacements=c = d\ne=f"]
    pairs = params_of(SpeakParams, path, repeated, {}).replacements
    assert pairs == {"a": "b", "c": "d", "e": "f"}
    with pytest.raises(InputError, match="seed is given twice"):
        params_of(SpeakParams, path, ["seed=1", "seed=2"], {})


def test_takes_are_numbers():
    key = "a" * 32
    assert SpeakParams(text="Hi.", takes=f"{key} = 2").takes == {key: 2}
    with pytest.raises(ParamError, match=r"takes.* valid integer .*'two'"):
        SpeakParams(text="Hi.", takes=f"{key} = two")


def test_what_is_no_pair_is_refused_with_the_cure():
    for text, told in {
        "a = b, c\nSiobhan Shivawn": "'Siobhan Shivawn' has no : or = between .* a pair a line",
        "Dr: a, Dr = b": "'Dr' is given twice",
        "{Dr: a, Dr: b}": "'Dr' is given twice",
        "{Dr: a": "write a pair a line",
        " = x": "the word to say as 'x' cannot be empty",
    }.items():
        with pytest.raises(ParamError, match=f"(?s)replacements: .*{told}"):
            SpeakParams(text="Hi.", replacements=text)
    for value in (["Dr", "Doctor"], 1, None):
        with pytest.raises(ParamError, match="write a pair a line, such as Siobhan = Shivawn"):
            SpeakParams(text="Hi.", replacements=value)


@pytest.mark.parametrize(
    "part", [",'a'',''a''", ",'", ',"\\",\\"', "a,", "a:", "='", "={", "a: b, "]
)
def test_the_reader_is_linear(part):
    """A million characters of quotes and signs are read in a second, which else took hours."""
    entries = [f"{part * (1_000_000 // len(part))}= last, {n}: end" for n in range(2)]
    with pytest.raises(ValueError, match=r"given twice|no : or ="):
        read_pairs("\n".join([*entries, "no pair"]))
