"""Shared by all tests: the project's places and ways to speak into a folder of the test's own."""

import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import Speech, generate_tts

if "PYTEST_XDIST_WORKER" in os.environ:
    # Two workers on two cores: threads of torch that wait for each other would spin, and a run of
    # 4 s would take 19. Kernels and servers that a test starts inherit it.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# No limit of time, which a busy machine exceeds, and the same examples each time.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")

ROOT = Path(__file__).resolve().parents[1]
OZ = ROOT / "params" / "texts" / "oz_the_cyclone.txt"


def pytest_terminal_summary(terminalreporter):
    """The seconds that each room's tests took, all processes together."""
    durations_s = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                durations_s[report.nodeid.split("/")[1]] += report.duration
    seconds = ", ".join(f"{room} {spent_s:.0f}" for room, spent_s in durations_s.most_common())
    terminalreporter.write_line(f"seconds by room: {seconds}")


@pytest.fixture(autouse=True)
def _in_project(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def speak(tmp_path):
    """Speak with the embedded voice into the test's own folder."""

    def run(**values) -> Speech:
        values = {"outputs_dir": str(tmp_path), "run_name": "run", "engine": "hibari"} | values
        return generate_tts(SpeakParams.create(values))

    return run


@pytest.fixture
def cli(tmp_path):
    """Run the real command line in a process of its own."""

    def run(*args: str, check: int | None = None, **kwargs) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [sys.executable, "-m", "chatter_nb.cli", *map(str, args)],
            capture_output=True,
            text=True,
            env={**os.environ, **kwargs.pop("env", {})},
            cwd=kwargs.pop("cwd", ROOT),
            timeout=1_800,
            **kwargs,
        )
        if check is not None:
            assert done.returncode == check, done.stdout + done.stderr
        return done

    return run


@dataclass(frozen=True)
class SmallDisk:
    """A disk of its own size; the folder where it is."""

    folder: Path

    def resize(self, size: str) -> None:
        remount = ["mount", "-o", f"remount,size={size}", str(self.folder)]
        subprocess.run(remount, check=True)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 300 kB."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("needs root to mount a tmpfs")
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    yield SmallDisk(folder)
    # Lazily: what a test left running there must not fail the one after it.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Folders of tiny random Chatterbox checkpoints by model, made when first asked for."""
    pytest.importorskip("chatterbox", reason="needs chatterbox-tts")
    import torch

    torch.set_num_threads(1)  # models so small lose more by handing work over than they gain
    from chatter_nb.engines.chatterbox.random_checkpoints import make_checkpoint

    root, made = tmp_path_factory.mktemp("checkpoints"), {}

    def folder(model: str = "chatterbox") -> Path:
        if model not in made:
            made[model] = make_checkpoint(root / model, model, "tiny")
        return made[model]

    return folder


@pytest.fixture
def own_models(monkeypatch):
    """No model from another test, and none left for the next."""
    from chatter_nb.engines import models

    monkeypatch.setattr(models, "_models", {})
    return models


@pytest.fixture(scope="session")
def second_voice(tmp_path_factory) -> Path:
    """A recording that is not the presets' target: hibari, a quarter higher."""
    import soundfile
    import soxr
    from hibari import Hibari

    path = tmp_path_factory.mktemp("voices") / "second.wav"
    speech = Hibari()("The river ran high that spring, and nobody crossed it before May.", seed=5)
    higher = soxr.resample(speech, 24_000, 19_200)
    soundfile.write(path, [*higher, *higher[: 24_000 * 2]], 24_000)
    return path
