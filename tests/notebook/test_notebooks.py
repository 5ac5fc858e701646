"""Notebooks: run by Papermill as a user would, hold no logic, and agree with the parameters."""

import ast
import json
import subprocess
import sys
from types import ModuleType

import av
import nbformat
import pytest
from conftest import ROOT
from IPython.core.inputtransformer2 import TransformerManager
from notebook_cells import KINDS, up_to_date
from parameters_cell import CLASSES as CLASSES_BY_KIND
from parameters_cell import parameters_cell

from chatter_nb.batch.params import BatchParams
from chatter_nb.batch.tasks import FAILED_NOTEBOOK, NotebookError, Task, run_notebook
from chatter_nb.bench.params import TimingParams
from chatter_nb.notebook.compare import CompareParams
from chatter_nb.params.cells import assigned
from chatter_nb.params.fields import COMMON
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.folder import RunFolder

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = ("00_check", "01_speak", "02_convert", "03_batch", "04_timing", "05_compare", "06_book")
CHECK, SPEAK, CONVERT, BATCH, TIMING, COMPARE, BOOK = (
    ROOT / "notebooks" / f"{name}.ipynb" for name in NAMES
)
CLASSES = [
    (SPEAK, SpeakParams),
    (CONVERT, ConvertParams),
    (BATCH, BatchParams),
    (TIMING, TimingParams),
    (COMPARE, CompareParams),
    (BOOK, SpeakParams),
]
TITLES = ["Title page", "The North Wind and the Sun", "The Crow and the Pitcher"]
TITLES += ["The Hare and the Tortoise"]  # of the sample book's chapters that are spoken
RECORDING = "params/recordings/target.flac"
OTHER_RECORDING = "params/recordings/reading.flac"
of_all = pytest.mark.parametrize(("path", "cls"), CLASSES, ids=NAMES[1:])


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def is_parameters(cell) -> bool:
    return "parameters" in cell.metadata.get("tags", [])


def test_notebooks_hold_no_logic_and_no_outputs(notebook):
    """No `def`, at most 8 lines a cell, outputs stripped, one parameters cell."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(map(is_parameters, code)) == 1
    for cell in code:
        assert cell.outputs == []
        assert cell.execution_count is None
        assert "def " not in cell.source
        assert is_parameters(cell) or len(cell.source.splitlines()) <= 8


def test_a_sentence_comes_before_every_cell_of_code(notebook):
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        assert cell.cell_type == "markdown" or before.cell_type == "markdown"


def test_what_a_notebook_takes_from_the_package_is_there(notebook):
    """A name that changed is found without running the notebook up to its cell."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    python = TransformerManager().transform_cell("\n".join(code))
    nodes = list(ast.walk(ast.parse(python)))
    names = {}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom) and "chatter_nb" in ast.unparse(node):
            exec(ast.unparse(node), names)
    used = [
        (names[node.value.id], node.attr)
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and isinstance(names.get(node.value.id), ModuleType)
    ]
    assert len(used) >= 3
    assert [(home.__name__, name) for home, name in used if not hasattr(home, name)] == []


@of_all
def test_the_parameters_cell_is_the_parameters(path, cls):
    """Names, defaults and help are those of the class of parameters, in order."""
    assert CLASSES_BY_KIND[KINDS[path.stem]] is cls
    cells = nbformat.read(path, as_version=4).cells
    (cell,) = [cell for cell in cells if is_parameters(cell)]
    assert cell.source == parameters_cell(KINDS[path.stem])


@of_all
def test_papermill_sees_every_parameter(path, cls):
    """Its inspection drops lines with a second `=` or a `#` in a string: none of ours."""
    import papermill

    found = papermill.inspect_notebook(str(path))
    assert set(found) == set(cls.model_fields)
    own = [name for name in found if name not in COMMON.get(cls, ())]
    helps = {name: cls.model_fields[name].description or "" for name in own}
    assert {name: found[name]["help"] for name in own} == helps
    in_colabs_form = set(found) - set(own)
    assert all(found[name]["help"].startswith("@param") for name in in_colabs_form)


def test_the_check_notebooks_parameters_are_known():
    cells = nbformat.read(CHECK, as_version=4).cells
    (cell,) = [cell for cell in cells if is_parameters(cell)]
    assert len(names := assigned(cell.source)) > 3
    assert names <= set(SpeakParams.model_fields)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_badge_and_colab_cell_are_those_of_all(path):
    """`python tests/notebook_cells.py` writes them; the address stands in pyproject.toml alone."""
    cells, wanted = nbformat.read(path, as_version=4).cells, up_to_date(path).cells
    assert [cell.source for cell in cells] == [cell.source for cell in wanted]
    assert [cell.metadata for cell in cells] == [cell.metadata for cell in wanted]
    assert "colab" in cells[1].metadata["tags"]


def papermill(*args: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "papermill", *map(str, args), "--no-progress-bar"],
        capture_output=True,
        text=True,
        timeout=1_800,
    )


def red_bands(path) -> list[str]:
    """What an executed notebook shows of stderr: Jupyter lays a red band behind it."""
    outputs = [
        output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])
    ]
    return [output.text for output in outputs if output.get("name") == "stderr"]


SINGLE = [CHECK, SPEAK, CONVERT, BOOK]


@pytest.mark.parametrize(
    "path",
    [path if path == SPEAK else pytest.param(path, marks=pytest.mark.slow) for path in SINGLE],
    ids=lambda path: path.stem,
)
def test_plain_papermill_runs_every_notebook_of_one_run(path, tmp_path):
    """As it stands, with the cell's own values."""
    args = ("-p", "outputs_dir", tmp_path / "runs", "-p", "run_name", "run")
    done = papermill(path, tmp_path / "out.ipynb", *args)
    assert done.returncode == 0, done.stderr
    assert RunFolder(tmp_path / "runs" / "run").is_proved()
    assert red_bands(tmp_path / "out.ipynb") == []
    outputs = str([c.get("outputs") for c in nbformat.read(tmp_path / "out.ipynb", 4).cells])
    assert "<audio" in outputs
    assert "image/png" in outputs


@pytest.mark.slow
def test_plain_papermill_runs_a_batch(tmp_path):
    """A kernel that starts a kernel; again, and all is done. Each run has a player, linked."""
    for told in ("4 runs: 4 to do", "4 runs: 4 done"):
        done = papermill(BATCH, tmp_path / "out.ipynb", "-p", "outputs_dir", tmp_path / "runs")
        assert done.returncode == 0, done.stderr
        pages = (tmp_path / "out.ipynb").read_text()
        assert told in pages
        assert "FAILED" not in pages
        assert pages.count("<audio") == 4
        assert "data:audio" not in pages
        assert red_bands(tmp_path / "out.ipynb") == []
        assert "100%" in pages or "4 done" in told
    assert (tmp_path / "runs" / "index.html").exists()
    names = {path.parent.name for path in tmp_path.glob("runs/*/notebook.ipynb")}
    assert names == {"crow", "north_wind", "river", "timetable"}


@pytest.mark.slow
def test_a_headless_batch_fails_where_a_run_does(tmp_path):
    """With the reason in its pages, after the others."""
    broken_notebook(tmp_path, "1 / 0")
    args = ("-p", "outputs_dir", tmp_path / "runs", "-p", "notebook", tmp_path / "broken.ipynb")
    done = papermill(BATCH, tmp_path / "out.ipynb", *args)
    assert done.returncode != 0
    assert "BatchError" in done.stderr
    assert (tmp_path / "out.ipynb").read_text().count("ZeroDivisionError") >= 4


@pytest.mark.slow
def test_plain_papermill_times_and_remembers(tmp_path):
    """A few rounds of little work: the second time there is something to compare with."""
    args = ("-p", "outputs_dir", tmp_path, "-p", "chunks", "2", "-y", "lengths: [300, 900]")
    for told in ("first measurement", "99 % interval"):
        done = papermill(TIMING, tmp_path / "out.ipynb", *args, "-p", "interactive", "False")
        assert done.returncode == 0, done.stderr
        pages = (tmp_path / "out.ipynb").read_text()
        assert told in pages
        assert pages.count("image/png") == 4
        assert red_bands(tmp_path / "out.ipynb") == []
    assert len((tmp_path / "timing" / "history.jsonl").read_text().splitlines()) == 2


@pytest.mark.slow
def test_plain_papermill_takes_the_demo_file(tmp_path):
    """`papermill … -f params/demo.yaml` works as well as ours."""
    args = ("-f", ROOT / "params" / "demo.yaml", "-p", "outputs_dir", tmp_path)
    done = papermill(SPEAK, tmp_path / "out.ipynb", *args)
    assert done.returncode == 0, done.stderr
    found = {path.name for path in (tmp_path / "demo").iterdir()}
    assert found == {"speech.wav", "speech.mp3", "speech.words.json", "run.json"}


def test_plain_papermill_fails_on_an_unknown_parameter(tmp_path):
    """Papermill itself only warns; the notebook's first cell refuses it."""
    done = papermill(SPEAK, tmp_path / "out.ipynb", "-p", "sede", "3")
    assert done.returncode != 0
    assert "unknown parameter 'sede': did you mean 'seed'?" in done.stderr


@pytest.fixture
def params(tmp_path):
    def make(**values):
        values = {"text": "Hello there.", "run_name": "run", "interactive": False} | values
        return SpeakParams.create(values | {"outputs_dir": str(tmp_path)})

    return make


def test_our_runner_puts_the_executed_notebook_in_the_runs_folder(params, tmp_path):
    """Audio is linked, not embedded, and the pages come only after success."""
    speech = run_notebook(Task(SPEAK, params()))
    found = {path.name for path in speech.folder.iterdir()}
    assert found == {"speech.wav", "speech.words.json", "run.json", "notebook.ipynb"}
    pages = (speech.folder / "notebook.ipynb").read_text()
    assert 'src=\\"speech.wav\\"' in pages
    assert "data:audio" not in pages


def test_a_checked_run_of_a_notebook_has_its_review(params):
    """Written and linked by the notebook, headless too."""
    speech = run_notebook(Task(SPEAK, params(verify="fast", engine="hibari")))
    assert (speech.folder / "review.html").is_file()
    pages = (speech.folder / "notebook.ipynb").read_text()
    assert '<a href=\\"review.html\\">Hear, mark and edit' in pages


def test_our_runner_makes_a_book(tmp_path):
    """The sample file: contents, plan, loudness, chapters and files, in a small notebook."""
    values = {"outputs_dir": str(tmp_path), "interactive": False}
    params = SpeakParams.from_file(ROOT / "params" / "book.yaml", values)
    speech = run_notebook(Task(BOOK, params))
    pages = (speech.folder / "notebook.ipynb").read_text()
    for told in ("Three Fables, by Aesop", ">contents</td>", "min of audio", "MB on disk"):
        assert told in pages
    assert pages.count("image/png") == 1
    assert pages.count("<audio") == 1
    assert '<source src=\\"speech.m4b\\"' in pages
    assert [title for title in TITLES if f"{title}</bdi></li>" in pages] == TITLES
    assert "data:audio" not in pages
    assert len(pages) < 200_000
    with av.open(str(speech.folder / "speech.m4b")) as file:
        assert [chapter["metadata"]["title"] for chapter in file.chapters()] == TITLES
        assert any(stream.type == "video" for stream in file.streams)  # the cover
    assert not any(record.failures for record in speech.record.loudness)


@pytest.fixture
def convert_params(tmp_path):
    def make(**values):
        values = {"source": RECORDING, "target": OTHER_RECORDING, "run_name": "run"} | values
        return ConvertParams.create(values | {"interactive": False, "outputs_dir": str(tmp_path)})

    return make


def test_our_runner_runs_a_conversion(convert_params):
    """Source, target and result are linked, and every figure is there."""
    speech = run_notebook(Task(CONVERT, convert_params(window_s=5.0)))
    found = {path.name for path in speech.folder.iterdir()}
    assert found == {"converted.wav", "run.json", "notebook.ipynb"}
    pages = (speech.folder / "notebook.ipynb").read_text()
    for name in ("target.flac", "reading.flac", "converted.wav"):
        assert f'{name}\\" type=' in pages
    assert "data:audio" not in pages
    assert pages.count("image/png") == 4
    assert "3 windows" in pages


@pytest.mark.slow
def test_00_check_runs_on_chatterbox(tiny, tmp_path):
    args = {"engine": "chatterbox", "checkpoint": tiny(), "device": "cpu", "outputs_dir": tmp_path}
    given = [part for name, value in args.items() for part in ("-p", name, value)]
    done = papermill(CHECK, tmp_path / "out.ipynb", *given)
    assert done.returncode == 0, done.stderr
    assert RunFolder(tmp_path / "check").record().engine.name == "chatterbox"


@pytest.mark.slow
def test_04_timing_runs_on_chatterbox(tiny, tmp_path):
    """The pipeline of a checkpoint of random weights: what is measured is T3 and S3Gen."""
    asked = {"suites": ["pipeline"], "chunks": 2, "tokens": 60, "engine": "chatterbox"}
    asked |= {"checkpoint": str(tiny()), "device": "cpu", "lengths": [60, 120]}
    asked |= {"outputs_dir": str(tmp_path), "interactive": False}
    done = papermill(TIMING, tmp_path / "out.ipynb", "-y", json.dumps(asked))
    assert done.returncode == 0, done.stderr
    (line,) = (tmp_path / "timing" / "history.jsonl").read_text().splitlines()
    assert json.loads(line)["rounds"][0]["stages_s"]["tokens"] > 0


@pytest.mark.slow
def test_plain_papermill_converts_on_chatterbox(tiny, tmp_path):
    """With a checkpoint of random weights."""
    args = {"engine": "chatterbox", "checkpoint": tiny(), "source": RECORDING, "window_s": 6.0}
    args |= {"outputs_dir": tmp_path, "run_name": "run", "interactive": False}
    given = [part for name, value in args.items() for part in ("-p", name, value)]
    done = papermill(CONVERT, tmp_path / "out.ipynb", *given)
    assert done.returncode == 0, done.stderr
    assert RunFolder(tmp_path / "run").is_proved()
    assert RunFolder(tmp_path / "run").record().engine.name == "chatterbox"
    assert (tmp_path / "out.ipynb").read_text().count("image/png") == 4


@pytest.mark.slow
def test_01_speak_runs_on_chatterbox_with_a_recording_as_voice(tiny, params):
    """With a checkpoint of random weights; the voice can be heard before the work."""
    asked = {"engine": "chatterbox", "checkpoint": str(tiny()), "voice": RECORDING}
    speech = run_notebook(Task(SPEAK, params(**asked)))
    assert speech.record.engine.name == "chatterbox"
    assert "voice: target.flac, 11.2 s" in (speech.folder / "notebook.ipynb").read_text()


def broken_notebook(tmp_path, source: str):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source)]
    path = tmp_path / "broken.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("pass", "ended without a run"),
        ("import os; os._exit(1)", "ernel"),
    ],
)
def test_a_notebook_that_fails_or_dies_is_a_failure(params, tmp_path, source, told):
    """Also one whose kernel dies, which Papermill alone reports as complete."""
    with pytest.raises(NotebookError, match=told):
        run_notebook(Task(broken_notebook(tmp_path, source), params()))
    assert not (tmp_path / "run" / "notebook.ipynb").exists()
    assert (tmp_path / "run" / FAILED_NOTEBOOK).exists()


@pytest.mark.slow
def test_pages_of_an_earlier_run_do_not_stay_beside_a_failed_one(params, tmp_path):
    """notebook.ipynb beside an ok run.json means done: here the second notebook fails."""
    run_notebook(Task(ROOT / "notebooks" / "00_check.ipynb", params()))
    assert (tmp_path / "run" / "notebook.ipynb").exists()
    with pytest.raises(NotebookError):
        run_notebook(Task(broken_notebook(tmp_path, "1 / 0"), params()))
    assert not (tmp_path / "run" / "notebook.ipynb").exists()
