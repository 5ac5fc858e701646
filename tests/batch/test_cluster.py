"""Batches on Ray: the same bytes as without, whatever dies or is stopped, and nothing left."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import nbformat
import psutil
import pytest
from conftest import OZ, ROOT

from chatter_nb.base.errors import OutputError, ParamError, UnavailableError
from chatter_nb.batch.executors import SerialExecutor, Started
from chatter_nb.batch.params import BatchParams
from chatter_nb.batch.ray import actor
from chatter_nb.batch.ray import cluster as machines
from chatter_nb.batch.ray import executor as cluster
from chatter_nb.batch.ray.cluster import pick_engine, share_out
from chatter_nb.batch.run import executor_for, plan_batch, run_batch
from chatter_nb.batch.tasks import Outcome

ray = pytest.importorskip("ray")

TEXT = "The river ran high that spring. Nobody crossed it before May. Those who did were silent."
PARAMETERS = """\
text: str = "Hello."  # the text
engine: str = "hibari"  # what speaks
outputs_dir: str = "outputs"  # where
run_name: str = ""  # name
interactive: bool = False  # watched
"""
SPEAK = "speech = cn.generate_tts(cn.SpeakParams.from_notebook(globals()))"
MARK = "BATCH_OF_A_TEST"
# The run is in mid-air when the kernel's parent, which is Ray's worker, is killed.
KILL = "run_name == 'bad' and os.kill(os.getppid(), 9)"
TELL = "pathlib.Path(outputs_dir, f'{run_name}.gpu').write_text(os.environ['CUDA_VISIBLE_DEVICES'])"


@pytest.fixture(scope="module")
def ray_here():
    """Ray of this machine, with two GPUs in its books."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    machines.start(
        address="local",
        num_cpus=2,
        num_gpus=2,
        include_dashboard=False,
        object_store_memory=80 * 2**20,
    )
    yield
    ray.shutdown()


@pytest.mark.parametrize("slow_starts", [1, 5])
def test_ray_is_started_again_where_a_busy_machine_was_too_slow(monkeypatch, slow_starts):
    starts = []

    def init(**settings):
        starts.append(settings)
        if len(starts) <= slow_starts:
            raise Exception("The current node timed out during startup. This could happen because")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    if slow_starts == 5:
        with pytest.raises(RuntimeError, match="within 30 s, 5 times"):
            machines.start(num_cpus=2)
    else:
        machines.start(num_cpus=2)
    assert len(starts) == min(slow_starts + 1, 5)
    assert all(settings["num_cpus"] == 2 for settings in starts)


@pytest.fixture
def plan(tmp_path):
    """Plan runs of 01_speak, one for each seed; or of another notebook."""
    (tmp_path / "run.yaml").write_text(f"text: {TEXT}\nengine: hibari\nchunk_chars: 40\n")

    def make(out: str = "ray", seeds: int = 4, **values):
        values = {
            "notebook": "notebooks/01_speak.ipynb",
            "files": [str(tmp_path / "run.yaml")],
            "grid": {"seed": list(range(seeds))},
            "outputs_dir": str(tmp_path / out),
            "ray": True,
            "workers": 2,
        } | values
        return plan_batch(BatchParams(**values))

    return make


@pytest.fixture
def own_notebook(tmp_path):
    """A batch's values for a notebook with these cells, and for runs of these names."""

    def make(names: list[str], *sources: str) -> dict:
        cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, *sources)]
        cells[0].metadata["tags"] = ["parameters"]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, tmp_path / "own.ipynb")
        for name in names:
            (tmp_path / f"{name}.yaml").write_text(f"run_name: {name}\ntext: {TEXT}\n")
        files = [str(tmp_path / f"{name}.yaml") for name in names]
        return {"notebook": str(tmp_path / "own.ipynb"), "files": files, "grid": {}}

    return make


def sounds(folder: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in sorted(folder.glob("*/speech.wav"))}


def processes(*marks: str) -> list[psutil.Process]:
    """Those that run, of those whose command holds a mark."""
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            alive = process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            continue
        if alive and any(mark in command for mark in marks):
            found.append(process)
    return found


def wait_for(find: Callable[[str], Iterable[Path]], pattern: str, count: int) -> None:
    end_s = time.monotonic() + 600
    while len(list(find(pattern))) < count:
        assert time.monotonic() < end_s, f"no {pattern}"
        time.sleep(0.05)


def heirs(batch: str) -> list[int]:
    """The processes whose environment comes from a command that `batch` started."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == batch:
                found.append(process.pid)
    return found


def gone(pids: list[int], within_s: float = 600) -> bool:
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        if not any(psutil.pid_exists(pid) for pid in pids):
            return True
        time.sleep(0.1)
    return False


class Watch:
    """Notes what happens, and kills the worker of the run that began as the `nth`, in mid-run."""

    def __init__(self, kill_nth: int = 0, after_s: float = 0.0) -> None:
        self.started: list[Started] = []
        self.outcomes: list[Outcome] = []
        self.kernels: list[int] = []
        self._kill_nth, self._after_s = kill_nth, after_s

    def __call__(self, event) -> None:
        if isinstance(event, Outcome):
            self.outcomes.append(event)
            return
        self.started.append(event)
        if len(self.started) == self._kill_nth:
            threading.Timer(self._after_s, self._kill, [event]).start()

    def _kill(self, event: Started) -> None:
        worker = psutil.Process(int(event.worker.rpartition(":")[2]))
        self.kernels += [child.pid for child in worker.children(recursive=True)]
        worker.kill()


class Killer:
    """While its context lasts: kills one of this process's actors every few seconds."""

    def __init__(self, seed: int) -> None:
        self.killed, self.kernels = 0, list[int]()
        self._random = random.Random(seed)

    def __enter__(self) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._kill)
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._end.set()
        self._thread.join()

    def _kill(self) -> None:
        while not self._end.wait(self._random.uniform(0.5, 3)):
            ours = {process.pid for process in psutil.Process().children(recursive=True)}
            actors = [one for one in processes("ray::Actor") if one.pid in ours]
            if actors:
                actor = self._random.choice(actors)
                self.kernels += [child.pid for child in actor.children()]
                actor.kill()
                self.killed += 1


# --- what a worker gets


@pytest.mark.parametrize(
    ("values", "tasks", "machines", "use_gpus", "expected"),
    [
        ({}, 9, [(8, 0)], True, (1, 8, 0)),  # one machine without a GPU: one worker, all cores
        ({}, 9, [(8, 0), (4, 0)], True, (2, 4, 0)),  # one a machine
        ({}, 9, [(8, 4)], True, (4, 1, 1)),  # every GPU
        ({}, 3, [(8, 4)], True, (3, 1, 1)),  # no more than runs
        ({}, 9, [(8, 4)], False, (1, 8, 0)),  # the engine uses none
        ({"workers": 2}, 9, [(8, 4)], True, (2, 1, 1)),
        ({"workers": 3}, 9, [(8, 0), (4, 0)], True, (3, 2, 0)),
        ({"gpus_per_worker": 0.5}, 99, [(8, 2), (8, 1), (8, 0)], True, (6, 1, 0.5)),
        ({"gpus_per_worker": 0.3}, 99, [(8, 1)], True, (3, 1, 0.3)),
        ({"gpus_per_worker": 2}, 99, [(8, 3)], True, (1, 1, 2)),
        ({"gpus_per_worker": 1}, 9, [(8, 1)], False, (1, 1, 1)),  # asked for
        ({"gpus_per_worker": 0}, 9, [(8, 4)], True, (1, 8, 0)),
    ],
)
def test_shares(values, tasks, machines, use_gpus, expected):
    """Workers, and what each has, from what the machines have."""
    params = BatchParams(files=("a.yaml",), ray=True, **values)
    resources = [{"CPU": cpus, "GPU": gpus} for cpus, gpus in machines]
    share = share_out(params, tasks, resources, use_gpus=use_gpus)
    assert (share.workers, share.cpus, share.gpus) == expected


@pytest.mark.parametrize(("gpus", "told"), [(1, "machines have 0, 0"), (1.5, "or whole ones")])
def test_gpus_that_nobody_has(gpus, told):
    params = BatchParams(files=("a.yaml",), ray=True, gpus_per_worker=gpus)
    with pytest.raises(ParamError, match=told):
        share_out(params, 4, [{"CPU": 2}, {"CPU": 2}], use_gpus=True)


def test_without_ray_the_cure_is_told(monkeypatch):
    """Before anything is written, and for `auto` already when the batch is planned."""
    monkeypatch.setattr(machines, "find_spec", lambda name: None)
    params = BatchParams(files=("a.yaml",), ray=True)
    with pytest.raises(UnavailableError, match=r"pip install .*\.\[ray\]"):
        executor_for(params, [])
    with pytest.raises(UnavailableError, match="not installed"):
        pick_engine(params, "speak")


def test_a_cluster_that_is_not_there():
    params = BatchParams(files=("a.yaml",), ray=True, ray_address="127.0.0.1:1")
    with pytest.raises(UnavailableError, match=r"no Ray cluster at 127\.0\.0\.1:1"):
        pick_engine(params, "speak")
    assert not ray.is_initialized()


# --- what a batch makes


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_two_workers_make_what_one_process_makes(plan, tmp_path, monkeypatch):
    """Byte for byte, in Ray's workers, whose environment is the batch's."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    run_batch(plan("alone"), executor=SerialExecutor()).check()
    watch = Watch()
    report = run_batch(plan("ray"), watch)
    assert report.status == "ok"
    assert sounds(tmp_path / "alone") == sounds(tmp_path / "ray")
    assert len(sounds(tmp_path / "ray")) == 4
    workers = {event.worker for event in watch.started}
    assert len(workers) == 2
    assert {outcome.worker for outcome in watch.outcomes} == workers
    assert gone([int(worker.rpartition(":")[2]) for worker in workers])
    assert not list(ROOT.glob(".ray-*")) + list(tmp_path.glob("*/.ray-*"))


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_a_killed_worker_costs_nothing(plan, tmp_path):
    """Its kernel dies with it, Ray starts another, and every run is there, as if nothing was."""
    run_batch(plan("alone"), executor=SerialExecutor()).check()
    watch = Watch(kill_nth=3, after_s=0.4)
    report = run_batch(plan("ray"), watch)
    assert report.status == "ok", str(report)
    assert watch.kernels
    assert gone(watch.kernels)
    assert sounds(tmp_path / "alone") == sounds(tmp_path / "ray")
    assert sorted(outcome.attempts for outcome in watch.outcomes) == [1, 1, 1, 2]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_a_run_that_kills_every_worker_fails_alone(plan, own_notebook, tmp_path):
    """It is tried twice, told, and the others are done."""
    names = ["bad", "good0", "good1", "good2"]
    values = own_notebook(names, f"import os, chatter_nb as cn\n{KILL}\n{SPEAK}")
    report = run_batch(plan(**values))
    assert [outcome.name for outcome in report.of("failed")] == ["bad"]
    [failed] = report.of("failed")
    assert "its Ray worker died twice" in (failed.error or "")
    assert failed.attempts == 2
    assert len(report.of("ok")) == 3
    assert json.loads((tmp_path / "ray" / "batch.json").read_text())["status"] == "failed"


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize(("gpus", "seen"), [(1, {"0", "1"}), (0, {""})])
def test_a_kernel_sees_its_own_gpu(plan, own_notebook, tmp_path, gpus, seen):
    """One each, with a worker for every GPU where no number is asked for; or none at all."""
    names = ["a", "b"]
    values = own_notebook(names, f"import os, pathlib, chatter_nb as cn\n{TELL}\n{SPEAK}")
    run_batch(plan(**values, workers=1 if gpus else 2, gpus_per_worker=gpus)).check()
    assert {path.read_text() for path in (tmp_path / "ray").glob("*.gpu")} == seen


@pytest.mark.usefixtures("ray_here")
@pytest.mark.slow
def test_folders_that_are_not_shared_are_told(plan, tmp_path, monkeypatch):
    """Which machine, which folder: before any run begins."""
    monkeypatch.setattr(cluster, "project_root", lambda: tmp_path / "project")
    watch = Watch()
    with pytest.raises(OutputError, match=r"machine .*: folder .*project cannot be entered"):
        run_batch(plan(), watch)
    assert not watch.started


def test_tokens_of_killed_batches_go(tmp_path):
    """A batch that ended without a word leaves a small file: the next one removes it."""
    code = "import os, sys; from pathlib import Path\n"
    code += "from chatter_nb.batch.ray.actor import tokens\n"
    code += "with tokens([Path(sys.argv[1])]): os._exit(9)"
    subprocess.run([sys.executable, "-c", code, tmp_path], check=False)
    [orphan] = tmp_path.iterdir()
    with actor.tokens([tmp_path]) as first, actor.tokens([tmp_path]) as second:
        assert not orphan.exists()
        assert sorted(map(str, tmp_path.iterdir())) == sorted([*first, *second])
    assert not list(tmp_path.iterdir())


def test_a_folder_of_the_same_name_is_another(tmp_path, monkeypatch):
    """Two machines may have a folder each at the same path."""
    monkeypatch.setattr(actor, "_SEEN_S", 0.1)
    with actor.tokens([tmp_path]) as tokens:
        actor.Home(str(tmp_path), tuple(tokens), {}, hide_gpus=False).enter()
        Path(tokens[0]).unlink()
        home = actor.Home(str(tmp_path), tuple(tokens), {}, hide_gpus=False)
        with pytest.raises(OutputError, match="is another one there"):
            home.enter()


@pytest.mark.usefixtures("ray_here")
@pytest.mark.slow
def test_the_engine_is_asked_of_the_cluster():
    """`auto` is what the workers have, not what this process has."""
    params = BatchParams(files=("a.yaml",), ray=True, gpus_per_worker=0)
    assert pick_engine(params, "speak") == "hibari"
    assert pick_engine(params, "convert") == "world"


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_a_stop_lets_chunks_end(plan, tmp_path):
    """Ray blocks SIGINT in its processes; kernels get it all the same, and stop after a chunk."""
    (tmp_path / "run.yaml").write_text(f"text_file: {OZ}\nengine: hibari\nchunk_chars: 40\n")

    def ask_when_begun() -> None:
        wait_for(tmp_path.glob, "ray/*/run.partial.json", 2)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=ask_when_begun).start()
    report = run_batch(plan())
    assert report.status == "cancelled", str(report)
    assert [outcome.status for outcome in report.outcomes] == ["cancelled"] * 2
    assert report.not_begun == 2
    records = [json.loads(path.read_text()) for path in (tmp_path / "ray").glob("*/run.json")]
    # Its own word, and not Python's end in mid-chunk, which leaves no record.
    assert [record["status"] for record in records] == ["cancelled"] * 2


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_twenty_runs_are_the_same_bytes(plan, tmp_path):
    run_batch(plan("alone", seeds=20), executor=SerialExecutor()).check()
    report = run_batch(plan("ray", seeds=20))
    assert len(report.of("ok")) == 20
    assert sounds(tmp_path / "alone") == sounds(tmp_path / "ray")


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_workers_killed_at_twenty_moments(plan, tmp_path):
    """After resuming, every run is there once, with the bytes that it has in peace."""
    (tmp_path / "run.yaml").write_text(f"text_file: {OZ}\nengine: hibari\nchunk_chars: 80\n")
    run_batch(plan("alone", seeds=6), executor=SerialExecutor()).check()
    expected = sounds(tmp_path / "alone")
    killer = Killer(seed=0)
    batches = 0
    while killer.killed < 20:
        batches += 1
        out = f"ray{batches}"
        with killer:
            first = run_batch(plan(out, seeds=6))
        if first.of("failed"):  # a run whose worker was killed twice
            assert all("died twice" in (one.error or "") for one in first.of("failed"))
            run_batch(plan(out, seeds=6)).check()
        assert [entry.state for entry in plan(out, seeds=6).entries] == ["done"] * 6
        assert sounds(tmp_path / out) == expected
        told = json.loads((tmp_path / out / "batch.json").read_text())["runs"]
        assert [told[name]["status"] for name in expected] == ["ok"] * 6
    assert gone(killer.kernels)


# --- from the command line, on Ray's own cluster


@pytest.fixture
def batch(plan, tmp_path):
    """A batch on the command line, in a process group of its own, as a terminal has it."""
    plan()  # writes the parameters
    seeds = ",".join(map(str, range(6)))
    command = [sys.executable, "-m", "chatter_nb.cli", "batch", "notebooks/01_speak.ipynb"]
    command += [str(tmp_path / "run.yaml"), "--ray", "--workers", "2", "--grid", f"seed={seeds}"]

    def start(*more: str) -> subprocess.Popen:
        return subprocess.Popen(
            [*command, *more, "--out", str(tmp_path / "ray")],
            cwd=ROOT,
            env=os.environ | {MARK: str(tmp_path)},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


LOSE_A_MACHINE = """\
import sys, threading
from ray.cluster_utils import Cluster
from chatter_nb.batch.run import BatchParams, plan_batch, run_batch

small = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
second = cluster.add_node(**small)
files, out = sys.argv[1:]
plan = plan_batch(BatchParams(files=(files,), grid={"seed": [0, 1, 2, 3, 4, 5]}, outputs_dir=out,
                              ray=True, ray_address=cluster.address))
started = []

def watch(event):
    if not hasattr(event, "status"):
        started.append(event)
        if len(started) == 3:
            threading.Timer(1, cluster.remove_node, [second], {"allow_graceful": False}).start()

report = run_batch(plan, watch)
print(report)
print("workers", len({event.worker for event in started}))
print("attempts", sorted(outcome.attempts for outcome in report.outcomes))
cluster.shutdown()
"""


@pytest.mark.slow
def test_a_lost_machine_costs_nothing(plan, tmp_path):
    """A cluster of two at an address, with a worker each; the run of the lost one goes on there."""
    (tmp_path / "run.yaml").write_text(f"text_file: {OZ}\nchunk_chars: 40\n")
    command = [sys.executable, "-c", LOSE_A_MACHINE, tmp_path / "run.yaml", tmp_path / "ray"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1_800)
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout.splitlines()
    assert "6 done now" in told, done.stdout + done.stderr
    assert "workers 2" in told
    assert "attempts [1, 1, 1, 1, 1, 2]" in told
    run_batch(plan("alone", seeds=6, ray=False, workers=1), executor=SerialExecutor()).check()
    assert sounds(tmp_path / "alone") == sounds(tmp_path / "ray")


@pytest.mark.slow
def test_ctrl_c_stops_a_batch_that_goes_on_later(plan, batch, tmp_path):
    """Exit code 130; nothing of Ray's is left; the same command makes the rest, as a serial one."""
    running = batch()
    wait_for(tmp_path.glob, "ray/*/speech.wav", 1)
    started = heirs(str(tmp_path))
    assert len(started) > 5  # Ray's own, its workers, their kernels
    os.killpg(running.pid, signal.SIGINT)
    told, _ = running.communicate(timeout=600)
    assert running.returncode == 130, told
    assert gone([*started, *heirs(str(tmp_path))])
    assert 1 <= len(sounds(tmp_path / "ray")) < 6
    resumed = batch()
    told, _ = resumed.communicate(timeout=1_800)
    assert resumed.returncode == 0, told
    run_batch(plan("alone", seeds=6), executor=SerialExecutor()).check()
    assert sounds(tmp_path / "alone") == sounds(tmp_path / "ray")
