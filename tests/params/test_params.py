"""Parameters: one truth, strict, with errors that say the cure."""

import math
from pathlib import Path

import pytest
from conftest import ROOT

from chatter_nb.base.errors import InputError, ParamError, shown
from chatter_nb.base.project import find_path, parse_yaml, project_root, read_yaml, resolve_path
from chatter_nb.params.base import StrictParams
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.params.types import OWN_NAMES
from chatter_nb.params.yaml_text import from_yaml
from chatter_nb.runs import content

BOTH = pytest.mark.parametrize(
    ("cls", "least"),
    [(SpeakParams, {"text": "Hi."}), (ConvertParams, {"source": "a.wav"})],
    ids=["speak", "convert"],
)


def test_unknown_parameter_names_the_nearest():
    with pytest.raises(
        ParamError, match="unknown parameter 'temprature': did you mean 'temperature'"
    ):
        SpeakParams.create({"text": "Hi.", "temprature": 0.5})


def test_every_problem_is_reported_at_once():
    with pytest.raises(ParamError, match=r"(?s)4 problems.*speed.*seed.*chunk_chars.*unknown"):
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
        ({"formats": ["ogg"]}, "'wav', 'flac', 'mp3', 'opus' or 'm4b'"),
        ({"engine": "espeak"}, "'auto', 'hibari'"),
        ({"device": "gpu"}, "is no device: use auto, cpu, mps, cuda or cuda:0"),
        ({"run_name": "../x"}, "cannot name a folder"),
        ({"run_name": "a/b"}, "cannot name a folder"),
        ({"run_name": ".hidden"}, "cannot name a folder"),
        ({"regex_replacements": {"(": ""}}, "not a regular expression"),
        ({"regex_replacements": {"(" * 900 + ")" * 900: ""}}, "not a regular.*recursion"),
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


NINES = "9" * 5000
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{last}'] * 9)}]\n"
    for last, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("yaml", "told"),
    [
        (
            "text: 2024-02-30",
            r"'2024-02-30' cannot be read as timestamp: put it in quotes.*\n.*line 1",
        ),
        ("run_name: 2024-13-01", "'2024-13-01' cannot be read as timestamp: put it in quotes"),
        ("text: 2001-01-01t00:00:00+99:00", "cannot be read as timestamp"),
        (f"seed: {NINES}", r"'9+\.\.\.9+' cannot be read as int"),
        (f"seed: 0x{NINES}", "cannot be read as int"),
        ("seed: " + "1:" * 5000 + "1", "cannot be read as int"),
        (f"speed: {NINES}.0", "cannot be read as float"),
        ("seed: !!int abc", "'abc' cannot be read as int"),
        ('seed: !!int ""', "'' cannot be read as int"),
        ("seed: 0x_", "'0x_' cannot be read as int"),
        ("speed: !!float x", "'x' cannot be read as float"),
        ("merge: !!bool x", "'x' cannot be read as bool"),
        ("text: !!timestamp x", "'x' cannot be read as timestamp"),
        ("text: !!set [a]", "expected a mapping"),
        ("text: !!binary a", "base64"),
        (f"text: !{'x' * 9000} y", "could not determine a constructor"),
        (f"text: *{'x' * 9000}", "undefined alias"),
        ("text: " + "[" * 600, "nested too deeply"),
        ("- " * 600, "nested too deeply"),
        ("<<: 5", "expected a mapping"),
        (BOMB + "takes: *i", r"takes: should be a valid dictionary.*\(given \[\["),
        (BOMB + "text: *i", r"text: should be a valid string.*\(given \[\["),
        ("a: &a {<<: *a}", "unknown parameter 'a'"),
        ("\n".join(f"k{i}: 1" for i in range(1000)), r"1,001 problems(?s:.*)… and 980 more"),
        ("x" * 900 + ": a", r"unknown parameter 'x{40,60}\.\.\.x+'"),
        ('"a\\e[1m": a', r"unknown parameter 'a\\x1b\[1m'"),
        ("text: a\nregex_replacements: {'a{" + "9" * 30 + "}': ''}", "repetition number is too"),
        ("text: a\nformats: [" + "wav, " * 900 + "wav]", r"twice in \['wav', .*\.\.\.\]"),
        ("text: a\ntext_file: " + "x" * 5000, r"text_file='x+\.\.\.x+'"),
    ],
)
def test_yaml_that_python_chokes_on_is_a_short_sentence(tmp_path, yaml, told):
    """The same from a file and from a form's panel."""
    path = tmp_path / "a.yaml"
    path.write_text(yaml)
    for where, read in (
        (str(path), lambda: SpeakParams.from_file(path)),
        ("the YAML", lambda: from_yaml(SpeakParams, yaml)),
    ):
        with pytest.raises(ParamError, match=told) as caught:
            read()
        assert str(caught.value).startswith(where)
        assert len(str(caught.value)) < 20_000


def test_a_merge_key_is_taken_as_papermill_takes_it():
    """Its own keys win, earlier ones of a list win over later ones, and `=` is text."""
    assert parse_yaml("<<: {seed: 3}\ntext: Hi.", where="a") == {"seed": 3, "text": "Hi."}
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {z: 3, <<: [*a, *b]}\n=: {<<: *b, =: =}"
    values = parse_yaml(text, where="a")
    assert values["c"] == {"x": 1, "y": 1, "z": 3}
    assert values["="] == {"y": 2, "z": 2, "=": "="}
    with pytest.raises(ParamError, match="'z' is given twice"):
        parse_yaml("c: {z: 3, <<: {x: 1}, z: 4}", where="a")


def test_merges_of_merges_do_not_grow():
    """Nine times nine times nine … keys, each of which is one of nine."""
    first = "a: &a {" + ", ".join(f"k{i}: {i}" for i in range(9)) + "}\n"
    rest = "".join(
        f"{name}: &{name} {{<<: [{', '.join([f'*{last}'] * 9)}]}}\n"
        for last, name in zip("abcdefghijkl", "bcdefghijklm", strict=True)
    )
    assert parse_yaml(first + rest, where="a")["m"] == {f"k{i}": i for i in range(9)}


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        ({"seed": NINES}, r"seed: should be a valid integer \(given '9+\.\.\.9+', str\)"),
        ({"takes": "[" * 5000}, r"takes: '\[+\.\.\.\[+' has no : or = .* a pair a line"),
        (
            {"takes": f'{{"a": {NINES}}}'},
            r"takes: write a pair a line.*\.\.\.9+' cannot be read",
        ),
        ({"takes": "[" * 500 + "]" * 500}, r"takes: '\[+\.\.\.\]+' has no : or = "),
        ({"speed": NINES}, "speed: should be a valid number"),
        ({NINES: "1"}, r"unknown parameter '9+\.\.\.9+'"),
    ],
    ids=["digits", "nesting", "digits in JSON", "a nested list", "a float", "a name"],
)
def test_a_command_lines_odd_value_is_a_short_sentence(pair, told):
    with pytest.raises(ParamError, match=told) as caught:
        SpeakParams.create({"text": "Hi."} | SpeakParams.coerce(pair), where="-p")
    assert len(str(caught.value)) < 1000


def test_a_value_is_shown_short_whatever_it_is():
    deep = []
    for _ in range(2000):
        deep = [deep] * 9
    for value in (deep, "x" * 10**6, 10**5000, dict.fromkeys(range(999), deep), b"x" * 10**6):
        assert len(shown(value)) <= 200
    assert shown("it's") == repr("it's")


@pytest.mark.parametrize("name", ["batch.json", "index.html", "Voices", "compare", "page_uploads"])
def test_a_place_of_our_own_names_no_run(name, tmp_path):
    """Also where the name comes from the parameter file's, as it says."""
    with pytest.raises(ParamError, match=f"run_name: '{name}' is a place .* such as '.*-1'"):
        SpeakParams.create({"text": "Hi.", "run_name": name})
    path = tmp_path / f"{name}.yaml"
    path.write_text("text: Hi.\n")
    with pytest.raises(ParamError, match=r"sets no run_name: the run is named after the file"):
        SpeakParams.from_file(path)
    assert SpeakParams.from_file(path, {"run_name": "mine"}).run_name == "mine"
    path.write_text("text: Hi.\nrun_name: .x\n")
    with pytest.raises(ParamError) as caught:
        SpeakParams.from_file(path)
    assert "named after" not in str(caught.value)


def test_the_places_of_our_own_are_all_of_them():
    from chatter_nb.batch.record import BATCH_FILE, LOG
    from chatter_nb.bench.history import HISTORY
    from chatter_nb.engines.voices import FOLDER
    from chatter_nb.notebook.compare.comparison import COMPARE
    from chatter_nb.notebook.forms.form import UPLOADS
    from chatter_nb.pages.gallery.page import PAGE
    from chatter_nb.serve.outputs import PAGE_UPLOADS

    places = {COMPARE, UPLOADS, PAGE, BATCH_FILE, LOG, HISTORY.split("/")[0], PAGE_UPLOADS, FOLDER}
    assert places | {"readme.md"} == OWN_NAMES


def test_an_empty_name_is_none(tmp_path):
    """`run_name:` with nothing after it, or quotes: the run is named after the file."""
    for name in ("", "''", "~"):
        (tmp_path / "night.yaml").write_text(f"text: Hi.\nrun_name: {name}\n")
        assert SpeakParams.from_file(tmp_path / "night.yaml").run_name == "night"


@pytest.mark.parametrize("path", ["a" * 256, f"b/{'é' * 128}/c.txt", "~nobody-has-this-name/x"])
def test_a_path_that_cannot_be_is_a_sentence(path):
    for find in (resolve_path, find_path, SpeakParams.from_file):
        with pytest.raises(InputError, match=r"at most 255 bytes|no such home folder"):
            find(path)


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


@BOTH
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"sede": 1}, "unknown parameter 'sede': did you mean 'seed'"),
        ({"seed": 2**32}, "seed: should be less than 4294967296"),
        ({"seed": True}, "valid integer"),
        ({"formats": ["wav", "wav"]}, "twice"),
        ({"formats": []}, "at least 1"),
        ({"wav_bits": 8}, "should be 16, 24 or 32"),
        ({"device": "gpu"}, "is no device"),
        ({"precision": "best"}, "'auto', 'exact', 'fast' or 'int8'"),
        ({"n_cfm_timesteps": 0}, "greater than or equal to 1"),
        ({"prompt_s": math.nan}, "finite number"),
        ({"prompt_s": 31.0}, "less than or equal to 30"),
        ({"voices_dir": "a\0b"}, "NUL"),
        ({"checkpoint": 7}, "put it in quotes"),
        ({"outputs_dir": ""}, "at least 1 character"),
        ({"run_name": "../x"}, "cannot name a folder"),
        ({"interactive": "yes"}, "valid boolean"),
    ],
)
def test_every_kind_of_run_is_equally_strict(cls, least, values, told):
    with pytest.raises(ParamError, match=told):
        cls.create(least | values)


@BOTH
def test_parameters_cannot_be_changed_after_they_were_checked(cls, least):
    params = cls.create(least)
    with pytest.raises(ValueError, match="frozen"):
        params.seed = 1


@BOTH
def test_where_a_result_goes_is_not_part_of_what_it_is(cls, least):
    """The digest tells knobs apart, and nothing else."""
    digest = cls.create(least).digest()
    moved = {"outputs_dir": "x", "run_name": "y", "interactive": False}
    assert cls.create(least | moved).digest() == digest
    assert cls.create(least | {"voices_dir": "x"}).digest() != digest
    assert cls.create(least | {"seed": 1}).digest() != digest


@BOTH
def test_every_field_has_a_help_text_and_a_default(cls, least):
    """The parameters cell is written from them; Papermill's inspection drops a second `=`."""
    for field in cls.model_fields.values():
        assert field.description
        assert not field.is_required()
        assert not set("=#") & set(field.description)


def test_fields_of_the_same_name_say_the_same():
    """But for the name, that tells what an unnamed run is named after, and what engines do."""
    shared = SpeakParams.model_fields.keys() & ConvertParams.model_fields.keys()
    for name in shared - {"engine", "run_name", "rows", "cast"}:
        speak, convert = SpeakParams.model_fields[name], ConvertParams.model_fields[name]
        assert (speak.description, speak.default) == (convert.description, convert.default)
        assert (speak.annotation, speak.metadata) == (convert.annotation, convert.metadata)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"source": " "}, "nothing to convert: set source"),
        ({"source": 3}, "put it in quotes"),
        ({"source": "a\udcff"}, "not UTF-8"),
        ({"source": "", "seed": "x"}, r"(?s)2 problems.*seed.*nothing to convert"),
        ({"text": "Hi."}, "unknown parameter 'text'"),
        ({"engine": "hibari"}, "'auto', 'world' or 'chatterbox'"),
        ({"window_s": 3.9}, "window_s: should be greater than or equal to 4"),
        ({"window_s": 121}, "less than or equal to 120"),
        ({"window_s": math.nan}, "finite number"),
        ({"overlap_s": 0.1}, "greater than or equal to 0.2"),
        ({"overlap_s": 5.1}, "less than or equal to 5"),
        (
            {"window_s": 8.0, "overlap_s": 4.5},
            "overlap_s 4.5 is more than half of window_s 8: use an overlap_s of at most 4, or a",
        ),
        ({"window_s": 4, "overlap_s": 3, "target": 1}, r"(?s)2 problems.*target.*more than half"),
    ],
)
def test_a_bad_conversion_is_refused_with_its_reason(values, told):
    with pytest.raises(ParamError, match=told):
        ConvertParams.create({"source": "a.wav"} | values)


def test_an_overlap_of_half_the_window_is_allowed():
    """Two neighbours may share all of a window between them, three may not."""
    params = ConvertParams(source="a.wav", window_s=8, overlap_s=4)
    assert (params.window_s, params.overlap_s) == (8.0, 4.0)


def test_a_conversions_command_line_strings_are_read_by_the_fields_type():
    strings = {"source": "007", "window_s": "20", "overlap_s": "0.5", "prompt_s": "none"}
    strings |= {"formats": "flac,mp3", "seed": "-1", "interactive": "false"}
    params = ConvertParams.create(ConvertParams.coerce(strings))
    assert (params.source, params.window_s, params.overlap_s) == ("007", 20.0, 0.5)
    assert (params.prompt_s, params.formats) == (None, ("flac", "mp3"))
    assert (params.seed, params.interactive) == (-1, False)
    with pytest.raises(ParamError, match="window_s: should be a valid number"):
        ConvertParams.create(ConvertParams.coerce({"source": "a", "window_s": "long"}))


def test_a_conversions_file_names_the_run_and_the_place_of_an_error(tmp_path):
    file = tmp_path / "dub.yaml"
    file.write_text("source: talk.wav\noverlap_s: 0.5\n")
    assert ConvertParams.from_file(file).run_name == "dub"
    assert ConvertParams.from_file(file, {"overlap_s": "2"}).overlap_s == 2.0
    with pytest.raises(ParamError, match=r"dub\.yaml: overlap_s 5 is more than half of window_s 4"):
        ConvertParams.from_file(file, {"overlap_s": "5", "window_s": "4"})


def test_a_conversion_without_a_name_gets_one_from_its_source():
    """A folder or a file, wherever it is; a name without letters still names a folder."""
    one = ConvertParams(source="/far/My Talk.flac").resolved_run_name()
    two = ConvertParams(source="/far/My Talk.flac", target="joe").resolved_run_name()
    assert one.startswith("my-talk-")
    assert one != two
    assert ConvertParams(source="talks/").resolved_run_name().startswith("talks-")
    assert ConvertParams(source="--.wav").resolved_run_name().startswith("converted-")
    params = ConvertParams(source="a.wav", run_name="dub", outputs_dir="x")
    assert params.run_dir() == resolve_path("x") / "dub"


def test_a_conversions_notebook_variables_become_parameters():
    """What Papermill injects wins over the cell's samples; a misspelt name is an error."""
    own = 'source: str = "a.wav"\ntarget: str = "b.wav"\nwindow_s: float = 30.0\n'
    injected = '# Parameters\nsource = "c.wav"\n'
    values = {"source": "c.wav", "target": "b.wav", "window_s": 30.0, "In": ["", own, injected]}
    params = ConvertParams.from_notebook(values)
    assert (params.source, params.target) == ("c.wav", "b.wav")
    wrong = values | {"windows": 9, "In": ["", own, "# Parameters\nwindows = 9\n"]}
    with pytest.raises(ParamError, match="unknown parameter 'windows': did you mean 'window_s'"):
        ConvertParams.from_notebook(wrong)


def kind_of(file: Path) -> type[StrictParams]:
    """Conversions name a `source`."""
    return ConvertParams if "source" in read_yaml(file) else SpeakParams


@pytest.mark.parametrize("file", sorted((ROOT / "params").glob("*.yaml")), ids=lambda f: f.name)
def test_every_preset_is_valid(file):
    """Every YAML in params/ validates, is named after its run, and says what it is for; the files
    it names exist."""
    params = kind_of(file).from_file(file)
    assert params.run_name == file.stem
    assert file.read_text().startswith("# ")
    named = [getattr(params, name, "") for name in ("text_file", "source", "target")]
    assert [path for path in named if path and not resolve_path(path).exists()] == []


# Names and keys as they were before fields were added; "code" and "engine" stand for a notebook's
# code and for what `auto` became.
BEFORE = [
    (SpeakParams(text="Hello there."), "129780", "94c312079c40ee6cf7c8743a5ac42a1e"),
    (
        SpeakParams(text="Hello there.", seed=7, speed=0.9),
        "c4fbeb",
        "9c08ca5eccb1fc1d26396ef7bfbcfafd",
    ),
    (
        SpeakParams(text="Grüße.", language="de", engine="chatterbox-multilingual"),
        "6ab66d",
        "12bd59b214fbe301f5e56b2ab9a40991",
    ),
    (
        SpeakParams(
            text="One. Two.", chunk_chars=120, sentence_pause_ms=100, formats=("wav", "mp3")
        ),
        "c6a389",
        "22e8104a80fa1e28569c451d4dabac0f",
    ),
    (
        SpeakParams(text="Names.", replacements={"Names": "Naims"}, takes={"a" * 32: 2}),
        "20bf3e",
        "96da1d0db1b289e14c32d3cc84aa08f9",
    ),
    (
        SpeakParams(
            text="Turbo.", engine="chatterbox-turbo", temperature=0.7, top_k=50, meanflow=True
        ),
        "1551fd",
        "d309bd645114dc0fb9ea5b7eb4826f2f",
    ),
    (
        SpeakParams(
            text="Loud.",
            engine="chatterbox",
            exaggeration=0.8,
            cfg_weight=0.3,
            precision="exact",
            rows=4,
        ),
        "04bbc5",
        "c27d2384502450f34cd839c1051b5bd9",
    ),
    (
        SpeakParams(text="Up.", engine="chatterbox", engine_path="upstream", wav_bits=24),
        "01a82b",
        "62ac0a47c041980e6051b59ae0e32098",
    ),
    (ConvertParams(source="a.wav"), "289454", "f5bf7dac2931da9de1f0411a53a5eb75"),
    (
        ConvertParams(source="b.wav", window_s=20.0, overlap_s=2.0, n_cfm_timesteps=6),
        "d7dec3",
        "951a2f5f7eb8b224301e459492e8415b",
    ),
]


@pytest.mark.parametrize(("params", "name", "key"), BEFORE)
def test_a_field_that_was_added_changes_no_name_and_no_key(params, name, key, monkeypatch):
    monkeypatch.setattr(content, "_contents", lambda _: {})
    monkeypatch.setattr(content, "model_version", lambda *_, **__: "m")
    monkeypatch.setattr(content, "__version__", "0")
    assert params.resolved_run_name().endswith(f"-{name}")
    assert content.run_key("code", params, "e", fetch=False) == key


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        ({"verify": "full"}, True),
        ({"tries": 5}, True),
        ({"asr_model": "x"}, True),
        ({"trim_tails": False}, True),
        ({"edits": "edits.json"}, True),
        ({"verify_workers": 2}, False),
        ({"verify": "auto", "tries": 3}, False),
    ],
)
def test_a_field_that_was_added_counts_where_it_is_not_its_default(values, counts):
    plain, changed = SpeakParams(text="Hello."), SpeakParams(text="Hello.", **values)
    assert (plain.digest() != changed.digest()) == counts


def test_a_word_that_yaml_takes_for_a_truth_value_is_told_its_cure(tmp_path):
    """`room_tone: on` is true in YAML."""
    path = tmp_path / "book.yaml"
    path.write_text("text_file: book.epub\nformats: [m4b]\nmaster: acx\nroom_tone: on\n")
    with pytest.raises(ParamError, match="put it in quotes"):
        SpeakParams.from_file(path)
