"""Batches: planned whole, performed, recorded, resumed; failures told, and none in the way."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT

from chatter_nb.base.errors import InputError, OutputError, ParamError
from chatter_nb.batch.choices import Choice, Choices, save_choices
from chatter_nb.batch.executors import ProcessExecutor, Started
from chatter_nb.batch.params import BatchParams
from chatter_nb.batch.record import BatchRecord
from chatter_nb.batch.run import plan_batch, run_batch
from chatter_nb.batch.tasks import FAILED_NOTEBOOK, perform
from chatter_nb.batch.warm import runner as warm
from chatter_nb.pages.gallery.page import write_gallery
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.resume import MARK
from chatter_nb.runs.speak import generate_tts

TEXTS = (
    "The river ran high that spring.",
    "Nobody crossed it before May. Those who did were silent.",
    "One. Two. Three.",
    "The train leaves at nine.",
)
PARAMETERS = """\
text: str = ""  # the text
engine: str = "hibari"  # what speaks
seed: int = 0  # seed
speed = None  # pace
chunk_chars: int = 280  # longest
formats: list = ["wav"]  # files
outputs_dir: str = "outputs"  # where
run_name: str = ""  # name
interactive: bool = False  # watched
"""
SPEAK = (
    "import chatter_nb as cn\n"
    "speech = cn.generate_tts(cn.SpeakParams.from_notebook(globals()))\n"
    "print(speech)"
)


def write_notebook(path: Path, *sources: str) -> Path:
    """A notebook with a parameters cell and cells of these sources."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, *sources)]
    cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture
def project(tmp_path):
    """A small notebook, four parameter files and a folder for the results."""
    write_notebook(tmp_path / "speak.ipynb", SPEAK)
    for number, text in enumerate(TEXTS):
        (tmp_path / f"text{number}.yaml").write_text(f"text: {text!r}\nchunk_chars: 20\n")
    return tmp_path


@pytest.fixture
def plan(project):
    def make(**values):
        values = {
            "notebook": str(project / "speak.ipynb"),
            "files": [f"{project}/text*.yaml"],
            "outputs_dir": str(project / "runs"),
        } | values
        return plan_batch(BatchParams(**values))

    return make


def wavs(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in sorted(folder.glob("*/speech.wav"))}


def states(plan) -> list[str]:
    return [entry.state for entry in plan.entries]


# --- the plan


def test_everything_wrong_is_told_at_once(project, plan):
    """Notebook, files, values, texts and names: one error before anything runs."""
    (project / "text5.yaml").write_text("text: Hi.\nsped: 1\n")
    (project / "text6.yaml").write_text("text: 你好\n")
    (project / "text7.yaml").write_text("text: Hi.\nrun_name: text0\n")
    (project / "text8.yaml").write_text("text_file: nowhere.txt\n")
    with pytest.raises(InputError) as caught:
        plan(files=[f"{project}/text*.yaml", "no.yaml"])
    told = str(caught.value)
    for expected in (
        "there is no parameter file no.yaml",
        "did you mean 'speed'?",
        "text6: ",
        "2 runs would be named 'text0'",
        "nowhere.txt does not exist",
    ):
        assert expected in told
    assert not (project / "runs").exists()


@pytest.mark.parametrize(
    ("name", "told"), [("README.md", "is not a notebook"), ("no.ipynb", "does not exist")]
)
def test_a_notebook_that_is_none_is_told(plan, name, told):
    with pytest.raises(InputError, match=told):
        plan(notebook=name)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"name": "julia-1.9", "display_name": "Julia"}, "asks for the kernel 'julia-1.9'"),
        ({"name": "chatter", "display_name": "Mine", "language": "python"}, "kernel 'chatter'"),
        (None, "speak.ipynb names no kernel"),
    ],
)
def test_a_notebook_whose_kernel_is_not_here_is_told_before_a_run(project, plan, spec, told):
    """With the kernels that there are; Jupyter does not tell capitals from small letters."""
    path = project / "speak.ipynb"
    pages = nbformat.read(path, as_version=4)
    pages.metadata.kernelspec = {"name": "Python3", "display_name": "Python 3"}
    nbformat.write(pages, path)
    assert states(plan()) == ["to do"] * 4
    del pages.metadata["kernelspec"]
    pages.metadata.update({"kernelspec": spec} if spec else {})
    nbformat.write(pages, path)
    with pytest.raises(InputError, match=told) as caught:
        plan()
    assert "there is: " in str(caught.value)
    assert "python3" in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"files": ()}, "there is nothing to run"),
        ({"files": ("a",), "ray_address": "head:6379"}, "is for Ray"),
        ({"files": ("a",), "ray": True, "ray_address": "head"}, "use HOST:PORT"),
        ({"files": ("a",), "workers": 0}, "workers: should be greater"),
        ({"files": ("a",), "gpus_per_worker": 1.0}, "is for Ray"),
    ],
)
def test_a_batchs_own_parameters_are_checked(values, told):
    with pytest.raises(ParamError, match=told):
        BatchParams(**values)


def test_a_changed_text_parameter_cell_or_voice_makes_a_run_again(project, plan):
    """Prose may change: a run's key is its code, its parameters and what they name."""
    (project / "text0.yaml").write_text(f"text_file: {project}/a.txt\n")
    (project / "a.txt").write_text("A text in a file.")
    assert run_batch(plan()).status == "ok"
    assert states(plan()) == ["done"] * 4
    notebook = nbformat.read(project / "speak.ipynb", 4)
    notebook.cells.insert(0, nbformat.v4.new_markdown_cell("Some prose."))
    nbformat.write(notebook, project / "speak.ipynb")
    assert states(plan()) == ["done"] * 4
    (project / "a.txt").write_text("Another text in a file.")
    (project / "text1.yaml").write_text("text: Something else.\n")
    assert states(plan()) == ["changed", "changed", "done", "done"]
    write_notebook(project / "speak.ipynb", SPEAK, "1 + 1")
    assert states(plan()) == ["changed"] * 4


def test_a_run_is_done_only_with_its_proof_and_its_pages(project, plan):
    """run.json ok, files by size and hash, and the executed notebook."""
    run_batch(plan())
    runs = project / "runs"
    (runs / "text0" / "run.json").unlink()
    (runs / "text1" / "notebook.ipynb").unlink()
    wav = bytearray((runs / "text2" / "speech.wav").read_bytes())
    wav[-1] ^= 1
    (runs / "text2" / "speech.wav").write_bytes(wav)
    found = plan()
    assert states(found) == ["to do"] * 3 + ["done"]
    assert "not what run.json says" in found.entries[2].why


def test_pages_of_another_run_prove_nothing(project, plan):
    """A run by hand into the folder of a finished one: other audio, beside the old notebook."""
    run_batch(plan(limit=1))
    generate_tts(
        SpeakParams(
            text="Something else.",
            engine="hibari",
            outputs_dir=str(project / "runs"),
            run_name="text0",
        )
    )
    assert states(plan())[0] == "to do"


def test_the_same_plan_again_does_nothing(project, plan):
    """As when a cell of `03_batch` is run twice: what is done since is left alone."""
    found = plan()
    assert len(run_batch(found).outcomes) == 4
    times = {path: path.stat().st_mtime_ns for path in project.glob("runs/*/*")}
    again = run_batch(found)
    assert (again.status, again.outcomes, again.not_begun) == ("ok", (), 0)
    assert "4 done before" in str(again)
    assert times == {path: path.stat().st_mtime_ns for path in times}


def test_auto_stays_with_the_engine_it_was_resolved_to(project, plan, monkeypatch):
    """In runs that are done, in runs that began, and in those of the batch that did not."""
    for number in range(4):
        (project / f"text{number}.yaml").write_text(f"text: {TEXTS[number]!r}\nengine: auto\n")
    run_batch(plan(limit=2))
    pick = "chatter_nb.batch.plan._pick_engine"
    monkeypatch.setattr(pick, lambda params, kind: "chatterbox")  # a GPU has come
    later = plan()
    assert states(later) == ["done", "done", "to do", "to do"]
    assert {entry.task.params.engine for entry in later.to_do} == {"hibari"}
    report = run_batch(later)
    assert report.status == "ok"
    assert RunFolder(project / "runs" / "text3").record().engine.name == "hibari"


def test_runs_that_share_a_model_come_together(project, plan):
    for number, device in enumerate(("auto", "cpu", "auto", "cpu")):
        (project / f"text{number}.yaml").write_text(f"text: Hi.\ndevice: {device}\n")
    names = [entry.task.name for entry in plan().to_do]
    assert names == ["text0", "text2", "text1", "text3"]


# --- running


@pytest.mark.slow
def test_a_batch_loads_the_model_once_and_makes_what_fresh_kernels_make(project, plan):
    """Warm: `load` costs something in the first run only; the wavs are those of fresh kernels."""
    kernels = warm.status().started
    report = run_batch(plan())
    assert warm.status().started <= kernels + 1
    assert [outcome.status for outcome in report.outcomes] == ["ok"] * 4
    records = [RunFolder(project / "runs" / f"text{number}").record() for number in range(4)]
    assert all(record.stages_s["load"] < 0.05 for record in records[1:])
    run_batch(plan(outputs_dir=str(project / "fresh"), fresh_kernels=True))
    assert warm.status().started >= kernels + 4
    assert wavs(project / "runs") == wavs(project / "fresh")


def test_a_failing_run_is_recorded_and_the_rest_go_on(project, plan):
    """Its reason, its traceback and its pages; the record, the log and the gallery know of it."""
    write_notebook(project / "speak.ipynb", "assert '2' not in run_name, 'no twos'", SPEAK)
    report = run_batch(plan(), gallery=write_gallery)
    assert [outcome.status for outcome in report.outcomes] == ["ok", "ok", "failed", "ok"]
    (failed,) = report.of("failed")
    assert "AssertionError: no twos" in failed.error
    assert "Traceback" in failed.traceback
    runs = project / "runs"
    assert (runs / "text2" / FAILED_NOTEBOOK).exists()
    assert not (runs / "text2" / "notebook.ipynb").exists()
    record = json.loads((runs / "batch.json").read_text())
    assert record["status"] == "failed"
    assert record["runs"]["text2"]["error"] == failed.error
    assert "text2 failed" in (runs / "batch.log").read_text()
    assert "no twos" in (runs / "index.html").read_text()
    again = plan()
    assert states(again) == ["done", "done", "to do", "done"]
    assert "no twos" in again.entries[2].why


def test_retry_failed_tries_once_more_after_the_others(project, plan):
    """A notebook that fails the first time it is run for a name."""
    code = (
        "from pathlib import Path\n"
        f"mark = Path({str(project)!r}, run_name + '.tried')\n"
        "tried, _ = mark.exists(), mark.touch()\n"
        "assert tried or run_name != 'text1', 'the first time'"
    )
    write_notebook(project / "speak.ipynb", code, SPEAK)
    report = run_batch(plan(retry_failed=True))
    assert report.status == "ok"
    assert {one.name: one.attempts for one in report.outcomes}["text1"] == 2


def test_a_kernel_that_dies_is_replaced_and_its_run_tried_again(project, plan):
    code = (
        "import os\nfrom pathlib import Path\n"
        f"mark = Path({str(project)!r}, run_name + '.tried')\n"
        "tried, _ = mark.exists(), mark.touch()\n"
        "if run_name == 'text1' and not tried: os._exit(1)"
    )
    write_notebook(project / "speak.ipynb", code, SPEAK)
    report = run_batch(plan())
    assert report.status == "ok"
    assert {one.name: one.attempts for one in report.outcomes}["text1"] == 2


def test_a_run_over_its_time_is_a_failure_that_says_so(project, plan):
    write_notebook(
        project / "speak.ipynb", "import time\nif '1' in run_name: time.sleep(3_600)", SPEAK
    )
    assert run_batch(plan(limit=1)).status == "ok"  # in its own time
    report = run_batch(plan(timeout_s=2.0, limit=1))
    assert [outcome.status for outcome in report.outcomes] == ["failed"]
    assert "not finished after 2 s" in report.outcomes[0].error


def test_a_notebook_without_a_run_is_a_failure(project, plan):
    write_notebook(project / "speak.ipynb", "pass")
    report = run_batch(plan(limit=1))
    assert "ended without a run" in report.outcomes[0].error


def test_the_limit_leaves_the_rest_for_the_next_time(plan):
    assert len(run_batch(plan(limit=3)).outcomes) == 3
    found = plan(limit=3)
    assert states(found) == ["done"] * 3 + ["to do"]
    assert len(run_batch(found).outcomes) == 1


@pytest.mark.slow
def test_two_workers_make_the_same_bytes(project, plan):
    """In processes of their own, whose pids the outcomes name."""
    report = run_batch(plan(workers=2))
    assert report.status == "ok"
    assert len({outcome.worker for outcome in report.outcomes}) == 2
    run_batch(plan(outputs_dir=str(project / "alone")))
    assert wavs(project / "runs") == wavs(project / "alone")


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_its_run_tried_again(project, plan):
    """The kernel kills its parent, the worker, once."""
    code = (
        "import os, signal\nfrom pathlib import Path\n"
        f"mark = Path({str(project)!r}, run_name + '.tried')\n"
        "tried, _ = mark.exists(), mark.touch()\n"
        "if run_name == 'text1' and not tried: os.kill(os.getppid(), signal.SIGKILL)"
    )
    write_notebook(project / "speak.ipynb", code, SPEAK)
    report = run_batch(plan(workers=2))
    assert report.status == "ok"
    assert len(report.outcomes) == 4


@pytest.mark.slow
def test_a_run_that_kills_its_worker_twice_is_a_failure(project, plan):
    code = "import os, signal\nif run_name == 'text1': os.kill(os.getppid(), signal.SIGKILL)"
    write_notebook(project / "speak.ipynb", code, SPEAK)
    report = run_batch(plan(workers=2))
    assert {one.name: one.status for one in report.outcomes}["text1"] == "failed"
    assert len(report.of("ok")) == 3
    (failed,) = report.of("failed")
    assert "died (signal 9)" in failed.error


# --- one batch at a time, and places that cannot be written


def test_a_second_batch_in_the_same_folder_is_refused(project, plan):
    """And goes ahead once the first is gone."""
    found = plan()
    found.folder.mkdir()
    with BatchRecord(found.folder).locked(), pytest.raises(OutputError, match="another batch"):
        run_batch(found)
    assert run_batch(found).status == "ok"


def test_a_folder_that_cannot_be_made_is_told_before_the_first_run(project, plan):
    (project / "file").write_text("")
    found = plan(outputs_dir=str(project / "file" / "runs"))
    with pytest.raises(OutputError, match="cannot write to"):
        run_batch(found)


def test_a_full_disk_stops_the_batch(project, plan):
    """The other runs would fail too: they are left for later."""
    code = "from chatter_nb.base.errors import OutputError\n"
    code += "raise OutputError('disk full while writing x')"
    write_notebook(project / "speak.ipynb", code)
    report = run_batch(plan())
    assert len(report.outcomes) == 1
    assert report.disk_full
    assert report.not_begun == 3
    assert "the disk is full" in str(report)


def test_a_damaged_batch_record_is_begun_anew(project, plan):
    run_batch(plan(limit=1))
    (project / "runs" / "batch.json").write_text('{"schema": 1, "runs": []')
    assert run_batch(plan()).status == "ok"
    assert states(plan()) == ["done"] * 4


@pytest.mark.parametrize(
    "record",
    [
        *("[]", "null", "5", '"\\ud800"', "[" * 100_000, '{"schema": 1}', '{"schema": [1]}'),
        '{"schema": 1, "runs": [], "engines": 5}',
        '{"schema": 1, "runs": {"text0": 5, "text1": {"error": 5}}, "engines": {}}',
        '{"schema": 1, "runs": {"text0": {"error": "\\n"}, "\\ud800": {}}, "engines": {}}',
        '{"schema": 1, "runs": {}, "engines": {"speak": ["hibari"], "convert": "none"}}',
        '{"schema": 1, "runs": {}, "engines": {"speak": "an engine of another day"}}',
    ],
    ids=lambda record: record[:60],
)
def test_a_batch_record_of_odd_values_ends_no_batch(project, plan, record):
    """Planned, begun, ended and shown; what is sound in it is used."""
    (project / "runs").mkdir()
    (project / "runs" / "batch.json").write_text(record)
    found = plan(limit=1)
    assert states(found) == ["to do"] * 4
    kept = BatchRecord(project / "runs")
    with kept.locked():
        kept.begin("speak.ipynb", found.engines, {"text0": "key"})
        kept.end("ok")
    assert json.loads((project / "runs" / "batch.json").read_text())["status"] == "ok"
    assert write_gallery(project / "runs").is_file()


def test_a_folder_in_the_batch_records_place_is_told(project, plan):
    (project / "runs" / "batch.json").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"batch\.json: a folder is in its place: move it away"):
        run_batch(plan())


@pytest.mark.parametrize("at", ["notebook.ipynb", "run.json", "run.partial.json"])
def test_damaged_files_of_a_run_end_no_batch(project, plan, at):
    """The run is made again. A folder in a file's place fails that run alone."""
    speech = generate_tts(
        SpeakParams(
            text="Hi.", engine="hibari", outputs_dir=str(project / "runs"), run_name="text0"
        )
    )
    mark = {"metadata": {MARK: {"key": 3, "run": [speech.record.started]}}}
    path = speech.folder / at
    odd = ["[]", "null", "5", '"a"', "", "[" * 100_000, '{"metadata": []}', '{"metadata": null}']
    odd += ['{"metadata": {"chatter_nb": []}}', '{"metadata": {"chatter_nb": "x"}}']
    for text in (*odd, json.dumps(mark)):
        path.write_text(text)
        assert states(plan()) == ["to do"] * 4, text[:40]
    path.unlink()
    path.mkdir()
    assert states(plan()) == ["to do"] * 4
    (task,) = [entry.task for entry in plan().to_do if entry.task.name == "text0"]
    outcome = perform(task)
    assert outcome.status == "failed"
    assert at in outcome.error


@pytest.mark.parametrize(
    "notebook",
    ["[]", "null", "[" * 100_000, '{"cells": [{"cell_type": "code"}], "nbformat": 4}', "\xff"],
    ids=lambda text: text[:20],
)
def test_a_notebook_of_odd_values_is_a_sentence(project, plan, notebook):
    (project / "odd.ipynb").write_bytes(notebook.encode("latin-1"))
    with pytest.raises(InputError, match=r"odd\.ipynb is not a notebook") as caught:
        plan(notebook=str(project / "odd.ipynb"))
    assert len(str(caught.value)) < 1000


def test_a_file_that_the_disk_does_not_give_is_one_runs_problem(project, plan, monkeypatch):
    """All of them are told at once, as with any other bad input."""

    def fails(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    (project / "text0.yaml").write_text("text_file: text1.yaml\nspeed: 9\n")
    monkeypatch.setattr("chatter_nb.batch.plan.run_key", lambda *args, **how: fails("a.txt"))
    with pytest.raises(InputError, match=r"(?s)speed.*cannot read a\.txt: Permission denied"):
        plan()


# --- Ctrl-C


SLOWLY = (  # a model that takes its time for each chunk, so that there is a moment to stop at
    "import time\nfrom chatter_nb.engines.hibari import HibariEngine\n"
    "if not hasattr(HibariEngine, 'quick'):\n"
    "    HibariEngine.quick = HibariEngine.synthesize\n"
    "    def slow(self, requests, **options):\n"
    "        for made in HibariEngine.quick(self, requests, **options):\n"
    "            time.sleep(0.7)\n"
    "            yield made\n"
    "    HibariEngine.synthesize = slow"
)


def start_batch(project: Path, *args: str) -> subprocess.Popen:
    """The command line in a process group of its own, as a terminal would start it."""
    command = [sys.executable, "-m", "chatter_nb.cli", "batch", project / "speak.ipynb"]
    command += [*sorted(map(str, project.glob("text*.yaml"))), "--out", project / "runs", *args]
    code = "import signal, runpy, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "sys.argv = sys.argv[1:]; runpy.run_module('chatter_nb.cli', run_name='__main__')"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, command[2:])],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for_chunks(project: Path, number: int, process: subprocess.Popen) -> None:
    """Until so many chunks are kept."""
    for _ in range(6_000):
        if len(list((project / "runs" / ".chunks").glob("*/*.npy"))) >= number:
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    raise AssertionError("no chunk in ten minutes")


def wait_for_folder(folder: Path, process: subprocess.Popen) -> None:
    """Until the pipeline has begun there."""
    for _ in range(6_000):
        if (folder / "run.partial.json").exists():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)
    raise AssertionError("no run in ten minutes")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_one_ctrl_c_stops_after_the_chunk_and_the_batch_resumes(project, plan, workers):
    """Exit code 130, the run in hand is recorded as cancelled with its chunks kept."""
    write_notebook(project / "speak.ipynb", SLOWLY, SPEAK)
    for number in range(2):  # six chunks each
        text = "They went to the coast. " * 6
        (project / f"text{number}.yaml").write_text(f"text: {text!r}\nchunk_chars: 24\n")
    process = start_batch(project, "--workers", str(workers))
    wait_for_chunks(project, 1, process)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 130, out
    assert "goes on with what is not done" in out
    records = [RunFolder(path.parent).unfinished() for path in project.glob("runs/*/run*.json")]
    assert "cancelled" in [record.status for record in records if record]
    write_notebook(project / "speak.ipynb", SPEAK)
    assert run_batch(plan()).status == "ok"
    run_batch(plan(outputs_dir=str(project / "straight")))
    assert wavs(project / "runs") == wavs(project / "straight")


def test_a_ctrl_c_between_two_runs_begins_no_other(plan):
    """Also one that comes while the next run is announced, before its kernel is at work."""

    def press(event):
        if isinstance(event, Started):
            os.kill(os.getpid(), signal.SIGINT)

    report = run_batch(plan(), press)
    assert [outcome.status for outcome in report.outcomes] == ["cancelled"]
    assert report.status == "cancelled"
    assert run_batch(plan()).status == "ok"


def test_a_batch_record_that_cannot_be_written_stops_nothing(project, plan, monkeypatch):
    """It is told in the end; the runs are what counts."""

    def fail(self, line):
        raise OutputError("cannot write batch.log: no")

    found = plan(limit=2)
    begin = BatchRecord.begin

    def begin_then_break(self, *args):
        begin(self, *args)
        monkeypatch.setattr(BatchRecord, "_log", fail)

    monkeypatch.setattr(BatchRecord, "begin", begin_then_break)
    report = run_batch(found)
    assert report.status == "ok"
    assert "note: cannot write batch.log" in str(report)


@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once(project, plan):
    """Not when the chunk in hand is finished: that takes an hour."""
    write_notebook(project / "speak.ipynb", SLOWLY.replace("0.7", "3_600"), SPEAK)
    process = start_batch(project)
    wait_for_folder(project / "runs" / "text0", process)
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(1)  # two that come at once may count as one: then another follows
    for _ in range(10):
        os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            out, _ = process.communicate(timeout=60)
            break
    assert process.returncode == 130, out
    assert "interrupted: what is finished is kept" in out


# --- the command


@pytest.mark.slow
def test_the_command_plans_runs_and_resumes(project, cli):
    """A dry run makes nothing; a second run does nothing."""
    args = ("batch", project / "speak.ipynb", f"{project}/text*.yaml", "--out", project / "runs")
    dry = cli(*args, "--dry-run", "--grid", "seed=1,2", check=0)
    assert "8 runs: 8 to do" in dry.stdout
    assert not (project / "runs").exists()
    done = cli(*args, "--json", check=0)
    found = json.loads(done.stdout)
    assert found["status"] == "ok"
    assert [run["status"] for run in found["runs"]] == ["ok"] * 4
    assert Path(found["gallery"]).exists()
    again = cli(*args, check=0)
    assert "4 runs: 4 done" in again.stdout
    assert "done now" not in again.stdout


def test_what_a_gallery_keeps_is_run_again(project, cli):
    """choices.json among the files: the kept runs with their parameters, engine and seed."""
    runs, choices = project / "runs", project / "runs" / "choices.json"
    for number, name in enumerate(("good", "bad", "fine")):
        values = {"text": TEXTS[number], "engine": "hibari", "seed": number, "run_name": name}
        generate_tts(SpeakParams.create(values | {"outputs_dir": str(runs)}))
    marks = {"good": Choice(keep=True), "bad": Choice(compare=True), "fine": Choice(keep=True)}
    save_choices(runs, Choices(choices=marks))
    again = ("batch", project / "speak.ipynb", choices, "--out", project / "final", "--json")
    values = json.loads(cli(*again, "-p", "formats=mp3", check=0).stdout)
    assert [run["run_name"] for run in values["runs"]] == ["fine", "good"]
    record = RunFolder(project / "final" / "fine").record()
    assert (record.params["text"], record.seed) == (TEXTS[2], 2)
    assert [file.name for file in record.files] == ["speech.mp3"]
    shutil.rmtree(runs / "good")
    assert f"{runs}/good/run.json: no such file" in cli(*again, check=2).stderr
    save_choices(runs, Choices(choices=dict.fromkeys(("good", "fine"), Choice())))
    assert "marks no run with 'keep': tick it" in cli(*again, check=2).stderr


def test_a_plain_executor_protocol_is_what_workers_have():
    """Workers that are given no task start no process."""
    with ProcessExecutor(2) as executor:
        assert list(executor.perform([])) == []


def test_bad_input_is_exit_code_2_with_every_reason(project, cli):
    (project / "text9.yaml").write_text("text: Hi.\nsped: 1\n")
    done = cli("batch", "no.ipynb", f"{project}/text*.yaml", check=2)
    assert "no.ipynb does not exist" in done.stderr
    assert "did you mean 'speed'?" in done.stderr


def test_the_presets_of_the_batch_are_there():
    assert len(list((ROOT / "params" / "batch").glob("*.yaml"))) == 4
