"""Pairs of words in every spelling that people use, on every surface."""

import pytest
import yaml

from chatter_nb.base.errors import ParamError
from chatter_nb.params.pairs import pairs_text, read_pairs
from chatter_nb.params.runs import SpeakParams
from chatter_nb.params.yaml_text import from_yaml

SPELLINGS = (
    "Siobhan = Shivawn",
    "Siobhan=Shivawn",
    "Siobhan: Shivawn",
    "{Siobhan: Shivawn}",
    '{"Siobhan": "Shivawn"}',
    "\n Siobhan  =  Shivawn \n\n",
)


@pytest.mark.parametrize("text", SPELLINGS)
def test_a_pair_is_read_however_it_is_written(text, tmp_path):
    """By `-p`, in a file, in the YAML of a form and in a notebook's cell."""
    pairs = {"Siobhan": "Shivawn"}
    cell = {"text": "Hi.", "replacements": text}
    written = yaml.safe_dump(cell)
    path = tmp_path / "a.yaml"
    path.write_text(written)
    assert SpeakParams.coerce({"replacements": text})["replacements"] == pairs
    assert SpeakParams.from_file(path).replacements == pairs
    assert from_yaml(SpeakParams, written).replacements == pairs
    assert SpeakParams.from_notebook(cell).replacements == pairs


def test_a_line_for_each_pair_and_the_text_of_it_again():
    """Also pairs that lines cannot hold, which are written as JSON."""
    pairs = {"Dr": "Doctor", "St. John": "Sinjin"}
    assert read_pairs("Dr = Doctor\nSt. John: Sinjin") == pairs
    for written in (pairs, {"a = b": "c"}, {"a": "b\nc"}, {"a": " b"}, {}):
        assert read_pairs(pairs_text(written)) == written


def test_takes_are_numbers():
    key = "a" * 32
    assert SpeakParams.coerce({"takes": f"{key} = 2"})["takes"] == {key: 2}


def test_what_is_no_pair_is_refused_with_the_cure():
    values = SpeakParams.coerce({"text": "Hi.", "replacements": "Siobhan Shivawn"})
    with pytest.raises(ParamError, match="a pair a line, such as Siobhan = Shivawn"):
        SpeakParams.create(values)
