"""Parameters: one truth, strict, with errors that say the cure."""

import math

import pytest
from conftest import ROOT

from chatter_nb.errors import InputError, ParamError
from chatter_nb.params import SpeakParams
from chatter_nb.project import project_root, read_yaml, resolve_path


def test_unknown_parameter_names_the_nearest():
    with pytest.raises(
        ParamError, match="unknown parameter 'temprature': did you mean 'temperature'"
    ):
        SpeakParams.create({"text": "Hi.", "temprature": 0.5})


def test_every_problem_is_reported_at_once():
    with pytest.raises(ParamError, match=r"(?s)4 problems.*seed.*chunk_chars.*speed.*unknown"):
        SpeakParams.create({"text": "a", "seed": "x", "chunk_chars": 1, "speed": 9, "sped": 1})


def test_the_constructor_raises_the_same_error():
    with pytest.raises(ParamError, match="speed: should be less than or equal to 2"):
        SpeakParams(text="Hi.", speed=9)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"text": 123}, "put it in quotes"),
        ({"seed": 1.5}, "valid integer"),
        ({"seed": True}, "valid integer"),
        ({"seed": -2}, "greater than or equal to -1"),
        ({"temperature": math.nan}, "finite number"),
        ({"temperature": math.inf}, "finite number"),
        ({"speed": 3.0}, "less than or equal to 2"),
        ({"chunk_chars": 5}, "greater than or equal to 20"),
        ({"sentence_pause_ms": -1}, "greater than or equal to 0"),
        ({"formats": []}, "at least 1"),
        ({"formats": ["wav", "wav"]}, "twice"),
        ({"formats": ["ogg"]}, "'wav', 'flac', 'mp3' or 'opus'"),
        ({"engine": "espeak"}, "'auto', 'hibari'"),
        ({"device": "gpu"}, "is no device: use auto, cpu, mps, cuda or cuda:0"),
        ({"run_name": "../x"}, "cannot name a folder"),
        ({"run_name": "a/b"}, "cannot name a folder"),
        ({"run_name": ".hidden"}, "cannot name a folder"),
        ({"regex_replacements": {"(": ""}}, "not a regular expression"),
        ({"replacements": {" ": "x"}}, "cannot be empty"),
        ({"text_file": "a.txt"}, "both set"),
        ({"text": "a\udcff"}, "not UTF-8"),
        ({"outputs_dir": "a\0b"}, "NUL"),
        ({"run_name": "漢" * 80}, "too long for a folder"),
        ({"self": 1}, "unknown parameter 'self'"),
        ({"text": "  \n"}, "nothing to speak"),
        ({"text": "", "seed": "x"}, r"(?s)2 problems.*seed.*nothing to speak"),
        ({"text": ""}, "nothing to speak"),
    ],
)
def test_a_bad_value_is_refused_with_its_reason(values, told):
    with pytest.raises(ParamError, match=told):
        SpeakParams.create({"text": "Hi."} | values)


def test_command_line_strings_are_read_by_the_fields_type():
    """Text stays text, even where YAML would see a number, a truth value or nothing."""
    strings = {"text": "no", "seed": "7", "speed": "0.9", "merge": "false", "formats": "wav, mp3"}
    strings |= {"takes": '{"ab": 2}', "language": "none", "wav_bits": "24", "run_name": "007"}
    params = SpeakParams.create(SpeakParams.coerce(strings))
    assert (params.text, params.seed, params.speed, params.merge) == ("no", 7, 0.9, False)
    assert (params.formats, params.takes) == (("wav", "mp3"), {"ab": 2})
    assert (params.language, params.wav_bits, params.run_name) == (None, 24, "007")


def test_a_file_names_the_run_unless_it_says_otherwise(tmp_path):
    (tmp_path / "night.yaml").write_text("text: Hi.\n")
    assert SpeakParams.from_file(tmp_path / "night.yaml").run_name == "night"
    assert SpeakParams.from_file(tmp_path / "night.yaml", {"run_name": "day"}).run_name == "day"


def test_a_run_without_a_name_gets_one_from_its_text():
    """The hash keeps two runs of one text with different knobs apart."""
    one = SpeakParams.create({"text": "Hello, big world!"})
    two = SpeakParams.create({"text": "Hello, big world!", "seed": 1})
    assert one.resolved_run_name().startswith("hello-big-world-")
    assert one.resolved_run_name() != two.resolved_run_name()
    assert SpeakParams.create({"text": "漢字"}).resolved_run_name().startswith("漢字-")


def test_a_misspelt_name_in_the_notebooks_own_cell_is_an_error():
    """Also where the rest of the cell is right; a scratch variable elsewhere is none."""
    own = "text: str = 'a'\nseed: int = 0\nspeed = None\nsede: int = 7\n"
    scratch = "x = 3\n"
    cell = {"text": "a", "seed": 0, "speed": None, "sede": 7, "x": 3, "In": ["", own, scratch]}
    with pytest.raises(ParamError, match="unknown parameter 'sede'"):
        SpeakParams.from_notebook(cell)


def test_the_notebooks_own_cell_run_again_by_hand_wins():
    """What was injected before it no longer counts."""
    own = "text: str = 'new'\ntext_file: str = ''\nseed: int = 0\n"
    injected = "# Parameters\ntext_file = 'a.txt'\n"
    values = {"text": "new", "text_file": "", "seed": 0, "In": [own, injected, "%magic\n", own]}
    assert SpeakParams.from_notebook(values).text == "new"


def test_a_misspelt_name_can_be_mended_without_a_new_kernel():
    wrong = "text: str = 'a'\nseed: int = 0\nspeed = None\nsede: int = 7\n"
    right = wrong.replace("sede", "seed")
    values = {"text": "a", "seed": 7, "speed": None, "sede": 7, "In": [wrong, right]}
    assert SpeakParams.from_notebook(values).seed == 7


@pytest.mark.parametrize(
    ("yaml", "told"),
    [
        ("text: Hi.\ntext: Ho.\n", "given twice"),
        ("- a\n", "name: value"),
        ("text: [\n", "not valid YAML"),
        ("", "name: value"),
        ("1: a\n", "name: value"),
    ],
)
def test_yaml_faults_are_named(tmp_path, yaml, told):
    (tmp_path / "a.yaml").write_text(yaml)
    with pytest.raises(ParamError, match=told):
        read_yaml(tmp_path / "a.yaml")
    with pytest.raises(InputError, match="cannot read parameter file"):
        read_yaml(tmp_path / "none.yaml")


def test_notebook_variables_become_parameters():
    """What Papermill injects wins; its text_file replaces the cell's sample text."""
    cell = {"text": "sample", "seed": 0, "x": 1, "In": ["", "text = 'sample'"]}
    assert SpeakParams.from_notebook(cell).text == "sample"
    cell |= {"text_file": "a.txt", "In": ["", "# Parameters\ntext_file = 'a.txt'\n"]}
    params = SpeakParams.from_notebook(cell)
    assert (params.text, params.text_file) == ("", "a.txt")


def test_an_unknown_name_injected_by_papermill_is_an_error():
    """Papermill itself only warns."""
    cell = {"text": "Hi.", "sede": 1, "In": ["", '# Parameters\nsede = 1\ntext = "Hi."\n']}
    with pytest.raises(ParamError, match="unknown parameter 'sede': did you mean 'seed'"):
        SpeakParams.from_notebook(cell)


def test_paths_start_at_the_project_from_anywhere_in_it(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT / "notebooks")
    assert project_root() == ROOT
    assert resolve_path("params") == ROOT / "params"
    monkeypatch.chdir(tmp_path)
    assert project_root() == tmp_path


@pytest.mark.parametrize("file", sorted((ROOT / "params").glob("*.yaml")), ids=lambda f: f.name)
def test_every_preset_is_valid(file):
    """Every YAML in params/ validates, is named after its run, and its text exists."""
    params = SpeakParams.from_file(file)
    assert params.run_name == file.stem
    assert not params.text_file or resolve_path(params.text_file).exists()
