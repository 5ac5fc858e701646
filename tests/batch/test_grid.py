"""Parameter files and grids: every combination, well named; every problem told."""

import pytest
from conftest import ROOT

from chatter_nb.base.errors import InputError, Problems
from chatter_nb.batch.grid import expand, find_files, parse_grid
from chatter_nb.params.runs import ConvertParams, SpeakParams


@pytest.fixture
def made(tmp_path):
    """Expand one file of a short text."""
    (tmp_path / "hi.yaml").write_text("text: Hello.\nspeed: 1.2\n")

    def run(grid=None, extra=None, kind=SpeakParams):
        problems = Problems()
        found = expand(kind, [tmp_path / "hi.yaml"], extra or {}, grid or {}, problems)
        return found, problems.messages

    return run


def test_a_grid_makes_every_combination_named_after_its_values(made):
    found, problems = made(parse_grid(["seed=1,2", "speed=0.9,1.1"]))
    assert problems == []
    names = [params.run_name for params in found]
    assert names == [f"hi-seed{seed}-speed{speed}" for seed in (1, 2) for speed in (0.9, 1.1)]
    assert [(params.seed, params.speed) for params in found][1] == (1, 1.1)


def test_values_are_coerced_by_the_fields_type(made):
    """A version number as a text stays a text, a seed is a number."""
    found, _ = made({"text": ["1.0"], "seed": ["3"]})
    assert (found[0].text, found[0].seed) == ("1.0", 3)


def test_values_with_commas_are_written_as_a_json_list():
    assert parse_grid(['text=["a, b", "c"]']) == {"text": ["a, b", "c"]}


def test_a_path_names_its_cell_by_its_stem(made):
    found, _ = made(parse_grid(["voice=params/recordings/target.flac,heart"]))
    assert [params.run_name for params in found] == ["hi-voicetarget", "hi-voiceheart"]


def test_values_that_begin_alike_are_told_apart(made):
    """By a short hash of all their parameters."""
    text = "They went to the coast by train, and "
    found, problems = made({"text": [text + "slept.", text + "sang."]})
    names = {params.run_name for params in found}
    assert (len(names), problems) == (2, [])
    assert all(name.startswith("hi-textThey-went-to-the-coast-") for name in names)


def test_a_file_by_name_and_by_pattern_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "a.yaml").write_text("text: Hi.\n")
    monkeypatch.chdir(tmp_path)
    assert len(find_files(["*.yaml", "a.yaml"], Problems())) == 1


def test_without_a_grid_a_run_has_its_files_name(made):
    assert made()[0][0].run_name == "hi"


@pytest.mark.parametrize(
    ("grid", "told"),
    [
        ({"sed": [1]}, "unknown parameter 'sed': did you mean 'seed'?"),
        ({"seed": []}, "gives seed no value"),
        ({"seed": [1, 1]}, "gives seed the value 1 twice"),
        ({"run_name": ["a"]}, "run_name cannot be in the grid"),
        ({"speed": [9]}, "speed: should be less than or equal to 2"),
    ],
)
def test_a_wrong_grid_is_told(made, grid, told):
    assert told in "\n".join(made(grid)[1])


def test_a_value_for_all_and_a_grid_of_it_are_at_odds(made):
    assert "keep one" in made({"seed": [1, 2]}, {"seed": "3"})[1][0]


@pytest.mark.parametrize("text", ["seed", "=1", 'text=["a"'])
def test_a_malformed_grid_is_bad_input(text):
    with pytest.raises(InputError, match=r"must be|is not a JSON list"):
        parse_grid([text])


def test_an_axis_given_twice_is_bad_input():
    with pytest.raises(InputError, match="given twice"):
        parse_grid(["seed=1", "seed=2"])


def test_patterns_are_found_in_natural_order_from_the_root(tmp_path, monkeypatch):
    """From the project's root where the working directory has none; each file once."""
    problems = Problems()
    monkeypatch.chdir(ROOT / "tests")
    found = find_files(["params/batch/*.yaml", "params/batch/river.yaml"], problems)
    names = [path.stem for path in found]
    assert names == ["crow", "north_wind", "river", "timetable"]
    for number in (10, 9, 1):
        (tmp_path / f"run{number}.yaml").write_text("text: Hi.\n")
    found = find_files([f"{tmp_path}/run*.yaml"], problems)
    assert [path.stem for path in found] == ["run1", "run9", "run10"]
    assert problems.messages == []


def test_what_is_not_there_is_told_each(tmp_path):
    problems = Problems()
    assert find_files([f"{tmp_path}/no*.yaml", f"{tmp_path}/x.yaml", str(tmp_path)], problems) == []
    no_match, no_file, folder = problems.messages
    assert "no parameter file matches" in no_match
    assert "there is no parameter file" in no_file
    assert "is a folder: write" in folder


def test_a_notebook_of_conversions_takes_conversions(made):
    """And those of speech are told by what they are, not word by word."""
    _, problems = made(kind=ConvertParams)
    assert problems[0].endswith("hi.yaml: parameters of speech, which this notebook does not do")


def test_what_the_grid_gave_is_told_with_the_fault(made):
    _, problems = made(kind=SpeakParams, grid={"speed": [0.9, 9]})
    assert "speed: should be less than or equal to 2" in problems[0]
    assert problems[0].endswith("(with speed=9)")
