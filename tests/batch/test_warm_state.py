"""Notebooks from the field, one after the other in one warm kernel: each gives what it gives on a
fresh kernel with Papermill's own engine, and its second run what its first gave."""

import json
import re
import subprocess
import sys
from pathlib import Path

import papermill as pm
import pytest
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from papermill.exceptions import PapermillExecutionError
from test_warm import DEFAULT, WARM, _joined, outputs, printed, run

from chatter_nb.batch.warm import runner as warm

DATA = ROOT / "tests" / "data"
LEAKS = json.loads((DATA / "notebook_leaks.json").read_text())
SEQUENCES = json.loads((DATA / "notebook_sequences.json").read_text())

# Cases of the same kind; they take the kernel as it is, like the first ones.
LEAKS |= {
    "mock": {
        "polluter": "import textwrap\nfrom unittest import mock\ntextwrap.fill = mock.MagicMock()",
        "probe": "import textwrap\nprint(textwrap.fill.__module__)",
    },
    "bound_method": {
        "polluter": "import glob, pathlib\nglob.glob = pathlib.Path('x').glob",
        "probe": "import glob\nprint(glob.glob.__qualname__)",
    },
    "deleted": {
        "polluter": "import shutil\ndel shutil.which",
        "probe": "import shutil\nprint(shutil.which.__name__)",
    },
    "new_method": {
        "polluter": "import fractions\nfractions.Fraction.told = lambda self: 'told'",
        "probe": "import fractions\nprint(hasattr(fractions.Fraction, 'told'))",
    },
    "patch_before_an_import": {
        "polluter": "import string\nstring.capwords = len\nimport colorsys\nprint(string.capwords)",
        "probe": "import string\nprint(string.capwords.__module__)",
    },
    "fake_module": {
        "polluter": "import sys, types\nsys.modules['absent'] = types.ModuleType('absent')",
        "probe": "try: import absent\nexcept ImportError as error: print(error)",
    },
    "replaced_module": {
        "polluter": "import sys, types, gzip\nsys.modules['gzip'] = types.ModuleType('gzip')",
        "probe": "import gzip\nprint(hasattr(gzip, 'open'))",
    },
    "http_debug": {
        "polluter": "import http.client as c\nc.HTTPConnection.debuglevel = 1",
        "probe": "import http.client as c\nprint(c.HTTPConnection.debuglevel)",
    },
    "weekday": {
        "polluter": "import calendar\ncalendar.setfirstweekday(6)",
        "probe": "import calendar\nprint(calendar.firstweekday())",
    },
    "tempdir": {
        "polluter": "import tempfile\ntempfile.tempdir = '/nowhere'",
        "probe": "import tempfile\nprint(tempfile.gettempdir())",
    },
    "adapter": {
        "polluter": "import sqlite3\nsqlite3.register_converter('x', int)",
        "probe": "import sqlite3\nprint(sorted(sqlite3.converters))",
    },
    "level_name": {
        "polluter": "import logging\nlogging.addLevelName(5, 'TRACE')",
        "probe": "import logging\nprint(logging.getLevelName(5))",
    },
    "trace": {
        "polluter": "import threading\nthreading.settrace(lambda *a: None)",
        "probe": "import threading\nprint(threading._trace_hook)",
    },
    "loop_attribute": {  # as nest_asyncio sets it, and then takes the loop for patched
        "polluter": "import asyncio\nasyncio.get_running_loop()._told = 1",
        "probe": "import asyncio\nprint(hasattr(asyncio.get_running_loop(), '_told'))",
    },
    "hidden_name": {
        "polluter": "get_ipython().push({'shown': 1}, interactive=False)",
        "probe": "shown = 1\n%who",
    },
}
FRESH = ("torch_interop_threads", "tqdm_pandas")  # only a fresh kernel forgets these
SLOW = ("magic_error_without_output", "odd_text", "display", "tags", "sysexit0")
SLOW += ("sysexit1", "sysexit_text", "equals_in_string", "threads_output")
SLOW += ("input", "asyncio", "autoreload", "magics")
DEAD = ("kernel_dies", "timeouts")  # Papermill's own engine leaves their cells "completed"
MUCH = "much_output"  # of which Papermill's own engine may drop some


@pytest.fixture(scope="module", autouse=True)
def _end():
    yield
    warm.shutdown()


def plain(value) -> str:
    """Without what differs from run to run."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    if len(text) > 100_000:
        return text
    numbers = r"0x[0-9a-f]{6,}|ipykernel_\d+/\d+|\b[0-9a-f]{32}\b|Task-\d+|events\(\d+"
    text = re.sub(numbers, "…", text)
    text = re.sub(r"\b[\d.]{1,12}(e[+-]?\d+)? ?(ns|[µμ]s|ms|s)\b", "time", text)
    return re.sub(r"/tmp/[\w./-]+", "path", text)


def as_notebook(cells):
    made = new_notebook()
    for cell in cells:
        cell = {"source": cell} if isinstance(cell, str) else cell
        new = new_markdown_cell if cell.get("type") == "markdown" else new_code_cell
        made.cells.append(new(cell["source"], metadata={"tags": list(cell.get("tags", ()))}))
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return made


def told(cells, engine, folder: Path, **options) -> list[str]:
    """What a notebook raised, and what its cells show."""
    folder.mkdir(exist_ok=True)
    error = None
    try:
        done = pm.execute_notebook(
            as_notebook(cells),
            folder / "out.ipynb",
            engine_name=engine,
            cwd=folder,
            progress_bar=False,
            **({"execution_timeout": 60, "iopub_timeout": 60} | options),
        )
    except PapermillExecutionError as raised:
        error = [raised.ename, raised.evalue]
        done = pm.iorw.load_notebook_node(str(folder / "out.ipynb"))
    code = [cell for cell in done.cells if cell.cell_type == "code"]
    shown = zip(code, outputs(done), strict=True)
    states = [(c.execution_count, c.metadata.papermill.status, _joined(outs)) for c, outs in shown]
    return [plain(error), *map(plain, states)]


def differences(told: list[str], expected: list[str]) -> list[str]:
    """The cells that differ, from where they do, and not all of a long output."""
    differ = []
    for one, other in zip(told, expected, strict=True):
        ends = (n for n, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1)
        start = next(ends, min(len(one), len(other)))
        differ += [f"{one[start:][:200]} != {other[start:][:200]}"] if one != other else []
    return differ


@pytest.mark.slow
def test_no_leak_reaches_the_next_notebook(tmp_path):
    """All of them at once, a cell for each: probe and polluter, each twice, in one kernel."""
    cases = [case for name, case in LEAKS.items() if name not in FRESH]
    polluters, probes = ([case[kind] for case in cases] for kind in ("polluter", "probe"))
    fresh = [told(cells, DEFAULT, tmp_path / "fresh") for cells in (polluters, probes)]
    run("pass")
    before = warm.status()
    for _ in range(2):
        assert differences(told(polluters, WARM, tmp_path / "warm"), fresh[0]) == []
        assert differences(told(probes, WARM, tmp_path / "warm"), fresh[1]) == []
    run("pass")
    assert warm.status() == before


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        pytest.param("torch_interop_threads", "set_num_interop_threads", marks=pytest.mark.slow),
        ("tqdm_pandas", "put a function of tqdm.std into pandas."),
        ("nice", "called os.nice"),
        ("data_made_code", "put a function of its own into hooks_of: hook"),
    ],
)
def test_what_cannot_be_put_back_gives_a_fresh_kernel(tmp_path, monkeypatch, name, reason):
    """The reason says what it was, and the second run is like the first."""
    (tmp_path / "hooks_of.py").write_text("hook = None")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    polluter = {
        "nice": "import os\nprint(os.nice(1))",
        "data_made_code": "import hooks_of\nprint(hooks_of.hook)\nhooks_of.hook = lambda: 1",
    }.get(name) or LEAKS[name]["polluter"]
    first, second = (told([polluter], WARM, tmp_path / "warm") for _ in range(2))
    assert second == first
    assert reason in warm.status().reason


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name in SEQUENCES
        if name not in (*DEAD, MUCH)
    ],
)
def test_a_sequence_gives_what_fresh_kernels_give(tmp_path, name):
    """Notebook after notebook, and the kernel is not lost by the way."""
    runs, options = SEQUENCES[name]["runs"], SEQUENCES[name].get("kwargs", {})
    fresh = {
        key: told(json.loads(key), DEFAULT, tmp_path / "fresh", **options)
        for key in dict.fromkeys(map(json.dumps, runs))
    }
    run("pass")
    before = warm.status()
    for cells in runs:
        shown = told(cells, WARM, tmp_path / "warm", **options)
        assert differences(shown, fresh[json.dumps(cells)]) == []
    run("pass")
    assert warm.status() == before


@pytest.mark.slow
def test_output_that_comes_fast_is_whole():
    """Each of 20,000 messages, which ZeroMQ's default of 1,000 that wait did not hold."""
    for (source,) in SEQUENCES[MUCH]["runs"]:
        many = source.replace("1500", "20_000")
        assert printed(many, execution_timeout=None) == _printed_by(many)
    assert printed("print(get_ipython().kernel.iopub_thread.socket.sndhwm)") == "0\n"


def _printed_by(source: str) -> str:
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=True)
    return done.stdout.decode()


@pytest.mark.parametrize("name", DEAD)
def test_a_dead_or_late_kernel_is_an_error_in_the_cell(tmp_path, name):
    """However it dies; and the cells before it are what they were."""
    options = SEQUENCES[name].get("kwargs", {})
    for cells in SEQUENCES[name]["runs"]:
        shown = told(cells, WARM, tmp_path / "warm", **options)
        expected = "CellTimeoutError" if name == "timeouts" else "DeadKernelError"
        assert json.loads(shown[0])[0] == expected
    assert printed("print('alive')") == "alive\n"


PATCHING = {
    "patched": """
def f(): return 'first'
class C:
    def m(self): return 'first'
    n = m
""",
    "patches": """
import patched
patched.f = lambda: 'imported'
patched.C.m = lambda self: 'imported'
""",
    "lazy": """
def use():
    import patches
""",
}


def test_what_imports_rebind_stays(tmp_path, monkeypatch):
    """As libraries do it: when a cell imports them, and when they import for themselves."""
    for name, source in PATCHING.items():
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    look = "import patched\nprint(patched.f(), patched.C().m(), patched.C().n())"
    for imports in ("import patches", "import lazy; lazy.use()"):
        warm.shutdown()
        run(f"import patched, lazy\n{imports}\npatched.C.n = lambda self: 'notebook'")
        before = warm.status()
        assert printed(look) == "imported imported first\n"
        assert warm.status() == before


def test_a_patch_that_an_import_has_seen_costs_the_kernel(tmp_path, monkeypatch):
    """The module took the notebook's function for the library's: what it should have is unknown."""
    (tmp_path / "takes.py").write_text("from textwrap import dedent")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run("import textwrap; textwrap.dedent = lambda text: 'ours'\nimport takes")
    assert printed("import takes; print(takes.dedent(' x'))") == "x\n"
    assert "put a function of its own into takes: dedent" in warm.status().reason
