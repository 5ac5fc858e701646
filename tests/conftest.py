"""Shared by all tests: the project's places and ways to speak into a folder of the test's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chatter_nb.params import SpeakParams
from chatter_nb.speak import Speech, generate_tts

ROOT = Path(__file__).resolve().parents[1]
OZ = ROOT / "params" / "texts" / "oz_the_cyclone.txt"


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
            [sys.executable, "-m", "chatter_nb", *map(str, args)],
            capture_output=True,
            text=True,
            env={**os.environ, **kwargs.pop("env", {})},
            cwd=kwargs.pop("cwd", ROOT),
            timeout=300,
            **kwargs,
        )
        if check is not None:
            assert done.returncode == check, done.stdout + done.stderr
        return done

    return run
