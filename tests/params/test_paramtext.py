"""Parameters as YAML that a person copies and loads again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatter_nb.base.errors import ParamError
from chatter_nb.params.runs import ConvertParams, SpeakParams, read_params
from chatter_nb.params.yaml_text import from_yaml, to_yaml

TEXTS = st.text(min_size=1, max_size=200).filter(lambda text: text.strip() and "\0" not in text)


def utf8(text):
    return text.encode("utf-8", "ignore").decode()


@given(text=TEXTS.map(utf8).filter(str.strip), speed=st.none() | st.floats(0.5, 2))
def test_any_text_comes_back_as_it_was(text, speed):
    params = SpeakParams(text=text, speed=speed, takes={"ab12": 3}, formats=("mp3", "wav"))
    assert from_yaml(SpeakParams, to_yaml(params)) == params


def test_only_what_was_chosen_is_written():
    told = to_yaml(SpeakParams(text="Hello: there", speed=0.9, outputs_dir="elsewhere"))
    assert told == "text: 'Hello: there'\nspeed: 0.9\n"


def test_several_lines_are_written_as_they_read():
    told = to_yaml(SpeakParams(text="One.\n\nTwo.\n"))
    assert told == "text: |\n  One.\n\n  Two.\n"


def test_it_is_a_parameter_file(tmp_path):
    """What was found by hand becomes a batch: the file is what `batch` and `speak -f` read."""
    params = ConvertParams(source="a.wav", target="b.wav", window_s=8.0, run_name="found")
    path = tmp_path / "found.yaml"
    path.write_text(to_yaml(params))
    assert read_params(path) == params


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("text: [", "not valid YAML"),
        ("sede: 3\ntext: a", "did you mean 'seed'"),
        ("- a\n- b", "name: value"),
        ("text: a\nspeed: 9", "speed"),
    ],
)
def test_what_cannot_be_loaded_says_why(text, told):
    with pytest.raises(ParamError, match=told):
        from_yaml(SpeakParams, text)
