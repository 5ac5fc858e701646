"""kill -9 at random moments: what a resumed batch makes is what an undisturbed one makes."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from test_batch import SLOWLY, SPEAK, wavs, write_notebook

from chatter_nb.batch.params import BatchParams
from chatter_nb.batch.run import plan_batch, run_batch
from chatter_nb.batch.warm import folder as kernel_folder
from chatter_nb.runs.folder import RunFolder

KILLS = 7  # of each target
LATEST_S = 5.0  # after a batch begins, or after the last kill
RUNS = 5


@pytest.fixture
def project(tmp_path) -> Path:
    """Five texts of three chunks, each chunk taking a tenth of a second."""
    write_notebook(tmp_path / "speak.ipynb", SLOWLY.replace("0.7", "0.1"), SPEAK)
    for number in range(RUNS):
        text = f"This is number {number}. It has a few words. Then it ends."
        (tmp_path / f"text{number}.yaml").write_text(f"text: {text!r}\nchunk_chars: 22\n")
    return tmp_path


def start(project: Path, out: Path, *args: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "chatter_nb.cli", "batch", project / "speak.ipynb"]
    command += [f"{project}/text*.yaml", "--out", out, *args]
    log = (project / "log.txt").open("a")
    return subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)


def descendants(process: subprocess.Popen, mark: str) -> list[psutil.Process]:
    """A batch's processes whose command line holds `mark`."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            found += [child] if mark in " ".join(child.cmdline()) else []
        except psutil.Error:  # it has just ended
            continue
    return found


def victims(process: subprocess.Popen, target: str) -> list[psutil.Process]:
    if target == "runner":
        return [psutil.Process(process.pid)]
    return descendants(process, "ipykernel" if target == "kernel" else "spawn_main")


def moments(project: Path, target: str, chance: random.Random) -> Iterator[Path]:
    """Batches in which the target is killed, `KILLS` times in all; each is then resumed."""
    kills = rounds = 0
    args = ("--workers", "2") if target == "worker" else ()
    while kills < KILLS:
        out = project / f"runs{rounds}"
        rounds += 1
        for _ in range(4 * KILLS):
            process = start(project, out, *args)
            while process.poll() is None:
                time.sleep(chance.uniform(0, LATEST_S))
                kills += process.poll() is None and kills < KILLS and kill(process, target, chance)
                if kills == KILLS:
                    process.wait(timeout=600)
            if process.returncode == 0:
                break
        assert process.returncode == 0, (project / "log.txt").read_text()
        yield out


def kill(process: subprocess.Popen, target: str, chance: random.Random) -> bool:
    try:
        found = victims(process, target)
        os.kill(chance.choice(found).pid, signal.SIGKILL) if found else None
        return bool(found)
    except (psutil.Error, ProcessLookupError):  # it has just ended by itself
        return False


@pytest.mark.slow
@pytest.mark.parametrize("target", ["runner", "kernel", "worker"])
def test_a_batch_killed_at_bad_moments_is_whole_after_resuming(project, target):
    """Every run ok, none missing, none double, the bytes of an undisturbed batch."""
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)
    whole = project / "whole"
    files = [f"{project}/text*.yaml"]
    values = {"notebook": str(project / "speak.ipynb"), "files": files}
    assert run_batch(plan_batch(BatchParams(**values, outputs_dir=str(whole)))).status == "ok"
    for out in moments(project, target, random.Random(seed)):
        plan = plan_batch(BatchParams(**values, outputs_dir=str(out)))
        assert [entry.state for entry in plan.entries] == ["done"] * RUNS
        assert wavs(out) == wavs(whole)
        assert all(RunFolder(out / f"text{number}").is_proved() for number in range(RUNS))
        assert {path.name for path in out.iterdir() if path.is_dir()} - {".gallery"} == {
            ".chunks",
            ".locks",
            *(f"text{number}" for number in range(RUNS)),
        }
        kept, wanted = (sorted(p.name for p in f.glob(".chunks/*/*.npy")) for f in (out, whole))
        assert kept == wanted
        assert not list(out.glob("*/.*.part*"))


# A child subreaper gets the orphans of its children, as a container's first process may be one.
REAPER = """
import ctypes, os, subprocess, sys, time
import psutil
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
runner = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
def kernels():
    return [c for c in psutil.Process(runner.pid).children() if "ipykernel" in str(c.cmdline())]
while not kernels(): time.sleep(0.001)
runner.kill()
runner.wait()
os.wait()  # for the kernel
"""
RUNNER = "import test_warm; test_warm.run('import time; time.sleep(600)')"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere ipykernel looks once a second")
def test_a_kernel_ends_whose_runner_died_in_its_first_moment(tmp_path, monkeypatch):
    """Also where orphans do not get the parent 1, and the next runner sweeps the folder."""
    environ = os.environ | {"TMPDIR": str(tmp_path)}
    paths = [str(Path(__file__).parent), *sys.path]
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    command = [sys.executable, "-c", REAPER, RUNNER]
    subprocess.run(command, env=environ, timeout=600, check=True)
    assert len(list(tmp_path.glob("warm-*"))) == 1
    (tmp_path / "warm-living").mkdir()
    lock = kernel_folder._locked(tmp_path / "warm-living" / "lock")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kernel_folder.sweep()  # they are too young
    assert len(list(tmp_path.glob("warm-*"))) == 2
    monkeypatch.setattr(kernel_folder, "_YOUNG_S", -1.0)
    kernel_folder.sweep()
    assert [path.name for path in tmp_path.glob("warm-*")] == ["warm-living"]
    os.close(lock)
