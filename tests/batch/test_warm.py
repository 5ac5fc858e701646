"""The engine `chatter-warm`, on real kernels: what it keeps, what it forgets, how it fails."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import nbformat
import papermill as pm
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from papermill.engines import papermill_engines
from papermill.exceptions import PapermillExecutionError

from chatter_nb.batch.warm import WarmEngine
from chatter_nb.batch.warm import runner as warm

if "chatter-warm" not in papermill_engines._engines:  # installed before the entry point was there
    papermill_engines.register("chatter-warm", WarmEngine)

WARM, DEFAULT = "chatter-warm", None


def notebook(*sources: str):
    made = new_notebook(cells=[new_code_cell(textwrap.dedent(source)) for source in sources])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return made


def run(*sources: str, engine: str | None = WARM, output=None, **kwargs):
    return pm.execute_notebook(
        notebook(*sources),
        output,
        engine_name=engine,
        progress_bar=False,
        **({"execution_timeout": 60} | kwargs),
    )


def outputs(done) -> list:
    """Of the code cells, without what differs from run to run."""
    return [
        [{key: value for key, value in out.items() if key != "metadata"} for out in cell.outputs]
        for cell in done.cells
        if cell.cell_type == "code"
    ]


def printed(*sources: str, **kwargs) -> str:
    """What a notebook of a single cell printed."""
    return "".join(out.get("text", "") for out in outputs(run(*sources, **kwargs))[-1])


def gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has asked for its result yet."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == "zombie"
    return True


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Torch and its relatives are not what is tested here, nor is a kernel of another file's tests.

    That kernel may hold libraries whose filters for warnings are not on a fresh kernel.
    """
    warm.shutdown()
    patch = pytest.MonkeyPatch()
    patch.setenv("OMP_NUM_THREADS", "1")
    yield
    warm.shutdown()
    patch.undo()


@pytest.fixture
def same_kernel():
    """The test must not cost the kernel its life."""
    run("pass")
    before = warm.status()
    yield
    run("pass")
    assert warm.status() == before


@pytest.fixture
def new_kernel():
    """The test ends with a kernel started for the reason that it gives."""
    run("pass")
    before, told = warm.status().started, []
    yield told.append
    assert run("pass").cells[0].execution_count == 1
    assert warm.status().started == before + 1
    assert told[0] in warm.status().reason


# -- isolation -----------------------------------------------------------------------------------

VANDAL = """
import atexit, builtins, decimal, gc, json, locale, logging, os, random, signal, sys, tempfile
import textwrap, threading, time, warnings
import numpy as np
import matplotlib, matplotlib.pyplot as plt
import ipywidgets, tqdm
ip = get_ipython()
left = "left behind"
plt.rcParams.update({"figure.figsize": (2, 2), "font.size": 30}); plt.style.use("dark_background")
plt.ioff(); figure = plt.figure(); plt.plot([3, 1])
%config InlineBackend.figure_formats = ["svg"]
%config InlineBackend.close_figures = False
%xmode Minimal
%precision 2
%alias vandal echo vandal
ip.ast_node_interactivity = "all"
ip.events.register("pre_run_cell", lambda *a: print("vandal before"))
ip.events.register("post_run_cell", lambda *a: print("vandal after"))
ip.register_magic_function(lambda line: print("vandal magic"), magic_name="vandal_magic")
ip.display_formatter.formatters["text/plain"].for_type(int, lambda n, p, c: p.text("vandal int"))
ip.input_transformers_post.append(lambda lines: lines)
ip.set_custom_exc((ValueError,), lambda *a, **k: print("vandal handler"))
%load_ext autoreload
os.environ.update(TERM="vandal", VANDAL="1", HOME="/nowhere", MPLBACKEND="agg")
os.environ.pop("PATH")
os.chdir(tempfile.mkdtemp()); os.umask(0o77)
sys.path.insert(0, "/vandal"); sys.argv[:] = ["vandal"]; sys.setrecursionlimit(5000)
class Finder:
    def __init__(self, *folders):
        if folders: raise ImportError
    def find_spec(self, name, path=None, target=None): return None
sys.meta_path.insert(0, Finder()); sys.path_hooks.insert(0, Finder)
sys.excepthook = print; sys.stdout = sys.__stdout__; sys.vandal = 1; sys.tracebacklimit = 1
threading.excepthook = print
builtins.copyright = "vandal"; builtins.vandal = 1
textwrap.dedent = lambda text: "vandal"
warnings.simplefilter("ignore"); warnings.showwarning = len
logging.getLogger().setLevel(1); logging.getLogger().addHandler(logging.StreamHandler())
logging.disable(50); logging.getLogger("tornado").setLevel(1)
signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.signal(signal.SIGUSR1, len)
signal.setitimer(signal.ITIMER_REAL, 1000)
decimal.getcontext().prec = 3
np.set_printoptions(precision=1); np.seterr(all="raise"); np.random.seed(1); random.seed(1)
gc.disable(); gc.set_threshold(9)
slider = ipywidgets.IntSlider(); bar = tqdm.tqdm(total=3)
sys.modules["this"] = None
try: locale.setlocale(locale.LC_ALL, "C")
except locale.Error: pass
import asyncio; waiting = asyncio.get_event_loop().create_task(asyncio.sleep(1000))
"""

PROBE = """
import builtins, decimal, gc, json, locale, logging, os, random, signal, sys, threading, warnings
import asyncio, textwrap
import numpy, matplotlib.pyplot, ipywidgets, tqdm  # their filters for warnings are theirs
shell = get_ipython()
def names(items): return [getattr(item, "__name__", type(item).__name__) for item in items]
state = {
    "names": sorted(name for name in globals() if not name.startswith("_i")),
    "In": In, "Out": dict(Out), "count": shell.execution_count,
    "environ": dict(os.environ), "cwd": os.getcwd(), "dh": list(map(str, _dh)),
    "umask": os.umask(0o22), "path": sys.path,
    "argv": [arg.partition(".")[0] for arg in sys.argv[3:]],
    "finders": [name for name in names(sys.meta_path) if name != "_Watch"],
    "hooks": names(sys.path_hooks), "sys": sorted(n for n in vars(sys) if not n.startswith("_")),
    "streams": names([sys.stdin, sys.stdout, sys.stderr, sys.displayhook, sys.excepthook]),
    "thread hook": threading.excepthook.__module__, "recursion": sys.getrecursionlimit(),
    "builtins": sorted(set(vars(builtins)) - {"_"}), "patch": textwrap.dedent.__module__,
    "copyright": type(copyright).__name__,
    "filters": [str(f) for f in warnings.filters], "show": warnings.showwarning.__module__,
    "root": [logging.root.level, names(logging.root.handlers), logging.root.manager.disable],
    "tornado": logging.getLogger("tornado").level,
    "signals": {int(s): str(signal.getsignal(s)).partition(" at 0x")[0]
                for s in signal.valid_signals()},
    "timer": signal.getitimer(signal.ITIMER_REAL), "locale": locale.setlocale(locale.LC_ALL),
    "prec": decimal.getcontext().prec, "gc": [gc.isenabled(), gc.get_threshold()],
    "events": {name: names(called) for name, called in shell.events.callbacks.items()},
    "magics": {kind: sorted(table) for kind, table in shell.magics_manager.magics.items()},
    "extensions": sorted(shell.extension_manager.loaded), "xmode": shell.InteractiveTB.mode,
    "flags": shell.compile.flags, "interactivity": shell.ast_node_interactivity,
    "custom": str(shell.custom_exceptions), "transformers": len(shell.input_transformers_post),
    "tasks": len([t for t in asyncio.all_tasks() if "sleep" in str(t)]),
    "threads": sorted(t.name for t in threading.enumerate() if "History" not in t.name),
}
"""
LOOK = "print(json.dumps(state, default=str, sort_keys=True))"
PLOT = """
import matplotlib, matplotlib.pyplot as plt, numpy as np
plt.plot(np.linspace(0, 1, 50) ** 2); plt.title("a square");
"""
SETTINGS = """
import ipywidgets, tqdm, comm
print(sorted((k, str(v)) for k, v in matplotlib.rcParams.items()))
print(plt.get_fignums(), matplotlib.is_interactive(), matplotlib.get_backend())
print(np.get_printoptions(), np.geterr(), np.array([1.23456789]))
print(len(comm.get_comm_manager().comms), len(tqdm.tqdm._instances))
"""


@pytest.fixture(scope="module")
def vandalised(tmp_path_factory):
    """The probe on a fresh kernel, and after the vandal on one that was used: outputs of each."""
    probes = (PROBE + LOOK, PLOT, "x = 3\nx", SETTINGS, "1/0")
    path = tmp_path_factory.mktemp("vandal") / "out.ipynb"
    fresh = failing(DEFAULT, path, *probes)
    run("pass")
    before = warm.status()
    run("from __future__ import annotations", VANDAL)
    after = failing(WARM, path, *probes)
    assert warm.status() == before
    return outputs(fresh), outputs(after)


def failing(engine, path, *sources, **kwargs):
    """A notebook that fails, as it was left in its file."""
    with pytest.raises(PapermillExecutionError):
        run(*sources, engine=engine, output=str(path), **kwargs)
    return nbformat.read(path, as_version=4)


def _plain(value) -> str:
    """Without addresses, process ids and times."""
    told = json.dumps(value, sort_keys=True, default=str)
    told = re.sub(r"0x[0-9a-f]{6,}|ipykernel_\d+/\d+", "…", told)
    return re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+\S*?(?=\")", "time", told)


def _state(cells) -> dict:
    return json.loads("".join(out.get("text", "") for out in cells[0]))


@pytest.mark.parametrize(
    "name",
    [
        *("names", "In", "Out", "count", "environ", "cwd", "dh", "umask", "path", "argv"),
        *(
            "finders",
            "hooks",
            "sys",
            "streams",
            "thread hook",
            "recursion",
            "builtins",
            "patch",
            "copyright",
        ),
        *("filters", "show", "root", "tornado", "signals", "timer", "locale", "prec", "gc"),
        *("events", "magics", "extensions", "xmode", "flags", "interactivity", "custom"),
        *("transformers", "tasks", "threads"),
    ],
)
def test_nothing_of_a_notebook_reaches_the_next(vandalised, name):
    """Each part of the interpreter is what it is on a fresh kernel."""
    fresh, after = (_state(cells)[name] for cells in vandalised)
    assert after == fresh


@pytest.mark.parametrize("cell", [1, 2, 3, 4], ids=["figure", "result", "settings", "traceback"])
def test_a_cell_shows_what_it_shows_on_a_fresh_kernel(vandalised, cell):
    """Figures are the same PNG bytes, results and tracebacks the same text."""
    fresh, after = (_plain(cells[cell]) for cells in vandalised)
    assert after == fresh


def test_a_notebooks_filter_goes_though_a_library_had_the_same_for_a_while(tmp_path, monkeypatch):
    """And what a library sets as it is imported stays, though the notebook set the same."""
    (tmp_path / "filtering.py").write_text(
        "import warnings\n"
        "with warnings.catch_warnings():\n"
        "    warnings.simplefilter('ignore')\n"
        "warnings.filterwarnings('ignore', 'of a library')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ours = """
    import warnings, filtering
    warnings.simplefilter("ignore")
    warnings.filterwarnings("ignore", "of a library")
    """
    look = """
    import warnings
    print(sum(one[:3] == ("ignore", None, Warning) for one in warnings.filters),
          sum("of a library" in str(one[1]) for one in warnings.filters))
    """
    for _ in range(2):
        run(ours)
        assert printed(look) == "0 1\n"
    warm.shutdown()


@pytest.mark.slow  # torch is imported twice
def test_generators_and_torch_start_anew():
    """No draw follows from the last notebook's seed, and torch has the settings of its import."""
    pytest.importorskip("torch")
    look = """
    import torch
    print(torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads(),
          torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark)
    """
    draw = """
    import random, numpy as np, torch
    print(random.random(), np.random.rand(), torch.rand(1).item())
    """
    seed = """
    import random, numpy as np, torch
    random.seed(3), np.random.seed(3), torch.manual_seed(3)
    torch.set_grad_enabled(False), torch.set_default_dtype(torch.float64), torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True); torch.backends.cudnn.benchmark = True
    """
    command = [sys.executable, "-c", textwrap.dedent(look)]
    fresh = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    drawn = []
    run("import importlib.util; importlib.util.find_spec('torch')")  # asks, and does not import it
    for _ in range(2):
        run(seed)
        assert printed(look) == fresh
        drawn += printed(draw).split()
    assert len(set(drawn)) == 6


def test_each_folder_has_its_own_helper(tmp_path, same_kernel):
    """`import helper` finds the file beside the notebook, not the last notebook's."""
    for name in ("one", "two"):
        (tmp_path / name / "package").mkdir(parents=True)
        (tmp_path / name / "helper.py").write_text(f"who = {name!r}")
        (tmp_path / name / "package" / "__init__.py").write_text("from helper import who")
        source = "import helper, package; print(helper.who, package.who)"
        assert printed(source, cwd=tmp_path / name) == f"{name} {name}\n"


def test_the_environment_is_the_caller_s(monkeypatch, same_kernel):
    """Variables that were set or removed since are so in the kernel."""
    source = "import os; print(os.environ.get('WARM_TEST'))"
    monkeypatch.setenv("WARM_TEST", "here")
    assert printed(source) == "here\n"
    monkeypatch.delenv("WARM_TEST")
    assert printed(source) == "None\n"


def test_models_stay_loaded(same_kernel):
    """What chatter_nb has loaded is there for the next notebook, as are libraries."""
    run("""
    from chatter_nb.engines import models
    models._models['warm test'] = 'loaded'
    import soundfile
    """)
    source = """
    import sys
    models = sys.modules["chatter_nb.engines.models"]
    print(models._models.pop("warm test"), "soundfile" in sys.modules)
    """
    assert printed(source) == "loaded True\n"


def test_a_file_left_open_is_written_when_the_notebook_ends(tmp_path):
    """What a notebook held is let go of before `execute_notebook` returns."""
    run(f"held = open({str(tmp_path / 'left.txt')!r}, 'w'); held.write('all of it')")
    assert (tmp_path / "left.txt").read_text() == "all of it"


def test_what_a_notebook_registers_for_its_end_runs_then(tmp_path, same_kernel):
    """`atexit` functions of cells run once, at the end of their notebook."""
    path = tmp_path / "end.txt"
    run(f"""
    import atexit
    path = {str(path)!r}
    def leave():
        with open(path, "a") as file: file.write("left")
    atexit.register(leave)
    """)
    assert path.read_text() == "left"


def test_a_thread_at_work_comes_to_its_end(tmp_path, new_kernel):
    """A thread that still writes when the cells are through loses nothing."""
    path = tmp_path / "late.txt"
    run(f"""
    import threading, time
    path = {str(path)!r}
    def work():
        time.sleep(1)
        open(path, "w").write("late")
    threading.Thread(target=work, name="late writer").start()
    """)
    assert path.read_text() == "late"
    new_kernel("left a thread running: late writer")


def test_a_process_left_behind_ends_with_its_kernel(new_kernel):
    """It must not run beside the next notebook."""
    source = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid)"
    assert gone(int(printed(source)))
    new_kernel("left a process running: sleep")


def test_a_patched_library_is_put_back(same_kernel):
    """What its function was is known from its import."""
    run("import soundfile; soundfile.read = lambda path: None")
    assert printed("import soundfile; print(soundfile.read.__module__)") == "soundfile\n"


def test_variables_that_are_read_once_need_a_fresh_kernel(monkeypatch):
    """Setting them in a running kernel would have no effect."""
    run("pass")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    assert "/nowhere" in printed("import sys; print(sys.path)")
    assert "PYTHONPATH has changed" in warm.status().reason


# -- death, time, interruption -------------------------------------------------------------------


def failed_cell(path, *sources, **kwargs):
    """The error output of a notebook that fails, and its cell's and its own metadata."""
    made = failing(WARM, path, *sources, **kwargs)
    cell = next(c for c in made.cells if c.metadata.get("papermill", {}).get("exception") is True)
    assert cell.metadata.papermill.status == "failed"
    assert made.metadata.papermill.exception is True
    return cell.outputs[-1]


@pytest.mark.parametrize("before", [(), ("1",)], ids=["first cell", "second cell"])
def test_a_kernel_that_ends_is_an_error_in_the_cell(tmp_path, new_kernel, before):
    """Papermill raises, the cell tells, and the next notebook has a kernel."""
    source = "import os; os._exit(1)"
    if not before:  # a reused kernel that dies at once may do so for the last notebook's sake
        warm._warm._started -= 1
    error = failed_cell(tmp_path / "out.ipynb", *before, source)
    assert error.ename == "DeadKernelError"
    assert "died in this cell" in error.evalue
    new_kernel("DeadKernelError in the last notebook")


def test_a_kernel_killed_from_outside_is_an_error_in_the_cell(tmp_path, new_kernel):
    """As by a system that runs out of memory."""
    timer = threading.Timer(1, lambda: os.kill(warm.status().pid, signal.SIGKILL))
    timer.start()
    error = failed_cell(tmp_path / "out.ipynb", "1", "import time; time.sleep(30)")
    assert error.ename == "DeadKernelError"
    new_kernel("DeadKernelError")


def test_exit_is_a_success_and_the_next_notebook_is_none_the_wiser(new_kernel):
    """`exit()` as the last act ends the kernel, not the notebook after it."""
    run("1", "exit()")
    new_kernel("ended the kernel by exit()")


def test_a_first_cell_that_kills_a_used_kernel_is_tried_on_a_fresh_one():
    """What the notebook before left behind may have killed it."""
    run("pass")
    used = warm.status().pid
    source = f"import os; os.getpid() == {used} and os._exit(1); print('alive')"
    assert printed(source) == "alive\n"
    assert "died at the first cell" in warm.status().reason


def test_a_cell_that_takes_too_long_is_an_error_in_it(tmp_path, new_kernel):
    """The kernel is ended with it, and the next notebook is well."""
    path, sleep = tmp_path / "out.ipynb", "import time; time.sleep(30)"
    error = failed_cell(path, "1", sleep, execution_timeout=1)
    assert (error.ename, "1 seconds" in error.evalue) == ("CellTimeoutError", True)
    new_kernel("CellTimeoutError")


# The kernel flushes, replies, and then says that it is idle, through a thread that is held up here.
LATE = """
import sys, time
flush = sys.stderr.flush

def flush_and_be_late():
    sys.stderr.flush = flush
    flush()
    get_ipython().kernel.iopub_thread.schedule(lambda: time.sleep(6))

sys.stderr.flush = flush_and_be_late
print("said")
"""


def test_output_that_comes_late_is_waited_for(tmp_path):
    """As on a busy machine. Papermill's own engine takes 4 s for a failure; so may who asks."""
    assert printed(LATE) == "said\n"
    assert failed_cell(tmp_path / "out.ipynb", LATE, iopub_timeout=1).ename == "CellTimeoutError"


# ipykernel flushes after a cell's code, and before it replies.
BESIDE = """
import sys
flush = sys.stderr.flush

def interrupted():
    sys.stderr.flush = flush
    raise KeyboardInterrupt

sys.stderr.flush = interrupted
print("said")
"""


def test_an_interrupt_beside_a_cells_code_does_not_hang(tmp_path, new_kernel, monkeypatch):
    """The kernel is idle and gives no answer: Papermill's own engine would wait for ever."""
    monkeypatch.setattr("chatter_nb.batch.warm.client._REPLY_S", 1.0)
    path = tmp_path / "out.ipynb"
    error = failed_cell(path, "1", BESIDE, "2")
    assert (error.ename, error.evalue) == (
        "KeyboardInterrupt",
        "interrupted beside this cell's own code",
    )
    assert "said" in path.read_text()
    new_kernel("the last notebook was interrupted")


def test_interrupt_on_timeout_keeps_the_kernel(tmp_path, same_kernel):
    """nbclient's own way with a timeout works as it does there."""
    sleep, options = "import time; time.sleep(30)", {"interrupt_on_timeout": True}
    error = failed_cell(tmp_path / "out.ipynb", sleep, execution_timeout=1, **options)
    assert error.ename == "KeyboardInterrupt"


def test_interrupt_stops_the_cell(tmp_path, new_kernel):
    """From another thread or a signal handler. An import that is interrupted may leave half a
    library, so the kernel is not used again."""
    threading.Timer(1, warm.interrupt).start()
    error = failed_cell(tmp_path / "out.ipynb", "import time; time.sleep(30)")
    assert error.ename == "KeyboardInterrupt"
    new_kernel("was interrupted")


def test_an_interrupt_is_kept_for_the_notebook_about_to_begin(tmp_path, new_kernel):
    """One that comes while a kernel is made ready is not lost; a new batch forgets an old one."""
    warm.interrupt()
    error = failed_cell(tmp_path / "out.ipynb", "print(1)")
    assert (error.ename, error.evalue) == ("KeyboardInterrupt", "interrupted before this cell")
    warm.interrupt()
    warm.clear_interrupt()
    new_kernel("was interrupted")


def test_an_impatient_caller_leaves_nothing_running():
    """A KeyboardInterrupt in the waiting caller kills the kernel at once and is raised."""
    run("pass")
    pid = warm.status().pid
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run("import time; time.sleep(30)")
    finally:
        signal.signal(signal.SIGINT, before)
    assert gone(pid)
    assert printed("print(1)") == "1\n"


def test_a_cuda_fault_costs_the_kernel(tmp_path, new_kernel):
    """Every later call would fail in that process."""
    raises = "class AcceleratorError(RuntimeError): pass\nraise AcceleratorError('CUDA error: x')"
    failed_cell(tmp_path / "out.ipynb", raises)
    new_kernel("CUDA failed")


def test_other_arguments_for_the_kernel_need_another(new_kernel):
    """They are read at its start."""
    assert printed("1", extra_arguments=["--InteractiveShell.xmode=Plain"]) == ""
    warm._warm._started -= 1
    new_kernel("other arguments")


def test_another_kernel_name_needs_another_kernel(tmp_path, monkeypatch, new_kernel):
    """A kernel is of one kind."""
    spec = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]}
    spec |= {"display_name": "other", "language": "python", "env": {"OF_SPEC": "${HOME}!"}}
    (tmp_path / "kernels" / "other").mkdir(parents=True)
    (tmp_path / "kernels" / "other" / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    source = "import os; print(os.environ['OF_SPEC'])"
    for _ in range(2):
        assert printed(source, kernel_name="other") == f"{os.environ['HOME']}!\n"
    assert "kernel other follows python3" in warm.status().reason
    monkeypatch.delenv("JUPYTER_PATH")
    warm._warm._started -= 1
    new_kernel("kernel python3 follows other")


# -- as Papermill's own engine -------------------------------------------------------------------

SHIPPED = Path(pm.__file__).parent / "tests" / "notebooks"
THEIRS = ("broken1", "complex_parameters", "simple_execute", "sysexit1")
THEIR_OTHERS = (
    *("broken2", "line_magic_error", "nb_version_4.4", "no_parameters", "report_mode_test"),
    *("sysexit", "sysexit0", "systemexit", "test_logging"),
    *("test_notebooknode_io", "result_no_exec"),
)


def _ran(engine, source, path):
    """What raised, and the notebook as it was left, without what differs from run to run."""
    error = None
    options = {"progress_bar": False, "execution_timeout": 60, "kernel_name": "python3"}
    try:
        pm.execute_notebook(str(source), str(path), engine_name=engine, **options)
    except Exception as raised:
        error = [type(raised).__name__, *(getattr(raised, n, 0) for n in ("ename", "evalue"))]
    made = json.loads(path.read_text())
    for part in [made, *made["cells"]]:
        part["metadata"].pop("execution", None)
        part.pop("id", None)
        part["outputs"] = _joined(part.get("outputs", []))
        for name in ("start_time", "end_time", "duration", "input_path", "output_path", "version"):
            part["metadata"].get("papermill", {}).pop(name, None)
    return error, _plain(made)


def _joined(outs: list) -> list:
    """Streams in one piece: how they are cut is a matter of milliseconds."""
    made = []
    for out in outs:
        if made and out["output_type"] == "stream" and made[-1].get("name") == out["name"]:
            made[-1]["text"] = "".join(made[-1]["text"]) + "".join(out["text"])
        else:
            made.append({**out, **({"text": "".join(out["text"])} if "text" in out else {})})
    return made


@pytest.mark.parametrize(
    "name", [*THEIRS, *(pytest.param(name, marks=pytest.mark.slow) for name in THEIR_OTHERS)]
)
def test_a_foreign_notebook_gives_what_papermill_s_engine_gives(tmp_path, name):
    """Papermill's own test notebooks: same outputs, metadata and failures."""
    source, path = SHIPPED / f"{name}.ipynb", tmp_path / "out.ipynb"
    assert _ran(WARM, source, path) == _ran(DEFAULT, source, path)


def test_outputs_go_where_papermill_s_engine_sends_them(tmp_path, caplog):
    """To the log and to the files given."""
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        source = "import sys; print('to out'); print('to err', file=sys.stderr)"
        with caplog.at_level("INFO"):
            run(source, log_output=True, stdout_file=out, stderr_file=err)
    assert (tmp_path / "out").read_text() == "to out\n"
    assert (tmp_path / "err").read_text() == "to err\n"
    assert "to out" in caplog.text


def test_hooks_and_timeouts_by_cell_are_nbclient_s(same_kernel):
    """What is passed on to nbclient works as it does there."""
    called = []
    hooks = {"on_notebook_start": lambda notebook: called.append("start")}
    hooks["on_cell_executed"] = lambda cell, cell_index, execute_reply: called.append(cell_index)
    run("1", "2", timeout_func=lambda cell: 30, **hooks)
    assert called == ["start", 0, 1]


# -- places to call it from ----------------------------------------------------------------------


def test_papermill_finds_the_engine_by_name(tmp_path):
    """`papermill … --engine chatter-warm`, and the process ends by itself, with its kernel."""
    source, path = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    nbformat.write(notebook("import os; print(os.getpid())"), source)
    command = [sys.executable, "-m", "papermill", source, path, "--engine", "chatter-warm"]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    pid = int(nbformat.read(path, as_version=4).cells[0].outputs[0].text)
    assert gone(pid)


def test_it_works_inside_a_running_kernel():
    """A notebook that runs notebooks: its own outputs stay in the right cells."""
    inner = """
    import papermill as pm, nbformat
    from nbformat.v4 import new_code_cell, new_notebook
    from papermill.engines import papermill_engines
    from chatter_nb.batch.warm import WarmEngine
    papermill_engines.register("chatter-warm", WarmEngine)
    made = new_notebook(cells=[new_code_cell("import os; print(os.getpid())")])
    made.metadata.kernelspec = {"name": "python3", "language": "python", "display_name": "x"}
    def once(start):
        done = pm.execute_notebook(made, None, engine_name="chatter-warm", progress_bar=False,
                                   on_notebook_start=lambda notebook: print(start))
        return done.cells[0].outputs[0].text
    """
    done = run(inner, "first = once('one')", "print(once('two') == first)", engine=DEFAULT)
    assert ["".join(part["text"] for part in cell) for cell in outputs(done)] == [
        "",
        "one\n",
        "two\nTrue\n",
    ]


def test_two_threads_take_turns(same_kernel):
    """One notebook at a time; none is lost."""
    done = []
    threads = [
        threading.Thread(target=lambda n=n: done.append(printed(f"print({n})"))) for n in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == ["0\n", "1\n", "2\n"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere ipykernel looks once a second")
def test_a_killed_runner_takes_its_kernel_along(tmp_path):
    """Also by `kill -9`, and while a cell keeps the kernel busy."""
    script = tmp_path / "runner.py"
    script.write_text(
        "import sys; sys.path.insert(0, sys.argv[1]); import test_warm\n"
        "test_warm.run(\"import os; open('pid', 'w').write(str(os.getpid()))\","
        " 'while True: pass')"
    )
    command = [sys.executable, script, Path(__file__).parent]
    runner = subprocess.Popen(command, cwd=tmp_path)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.1)
    runner.kill()
    runner.wait()
    kernel = int((tmp_path / "pid").read_text())
    for _ in range(3_000):
        if gone(kernel):
            break
        time.sleep(0.1)
    assert gone(kernel)


def _footprint() -> dict[str, float]:
    runner, kernel = psutil.Process(), psutil.Process(warm.status().pid)
    return {
        f"{name} {what}": value
        for name, process in (("runner", runner), ("kernel", kernel))
        for what, value in (
            ("descriptors", process.num_fds()),
            ("threads", process.num_threads()),
            ("MB", process.memory_info().rss / 1e6),
        )
    }


def _growth(first: int, then: int) -> dict[str, float]:
    source = "import numpy as np; x = np.ones(1000); print(x.sum())"
    for _ in range(first):
        run(source)
    before = _footprint()
    for _ in range(then):
        run(source)
    after = _footprint()
    return {name: after[name] / before[name] for name in after}


def _nothing_is_left_open(growth: dict[str, float]) -> None:
    """The kernel's counts stay; the runner's do not grow: it is pytest's own process, where what
    other tests left behind may end meanwhile."""
    assert growth["kernel descriptors"] == growth["kernel threads"] == 1.0, growth
    assert max(growth["runner descriptors"], growth["runner threads"]) <= 1.0, growth


def test_descriptors_and_threads_stay_the_same(same_kernel):
    """25 notebooks leave nothing open, here and in the kernel."""
    _nothing_is_left_open(_growth(5, 25))


@pytest.fixture
def light_kernel():
    """A kernel without the libraries of other tests: to put those back takes most of a second."""
    warm.shutdown()


@pytest.mark.slow
def test_memory_stays_the_same(light_kernel, same_kernel):
    """200 notebooks: less than 5 % after the first 20."""
    growth = _growth(20, 180)
    _nothing_is_left_open(growth)
    assert max(growth.values()) < 1.05, growth
