"""Batches on Chatterbox with random weights: one load, one encoding, the same samples."""

import json
import os

import pytest
from conftest import ROOT
from test_batch import wavs, write_notebook

from chatter_nb.batch.params import BatchParams
from chatter_nb.batch.run import plan_batch, run_batch
from chatter_nb.batch.warm import runner as warm

pytest.importorskip("chatterbox", reason="needs chatterbox-tts")

# Modules of the package stay loaded in a warm kernel, and with them what is patched: this counts.
COUNTED = """\
from pathlib import Path
from chatter_nb.engines.chatterbox import speak as chatterbox, conditionals
def count(cls, method, mark):
    real = getattr(cls, method)
    def counting(self, *args, **kwargs):
        with open({log!r}, "a") as file:
            file.write(mark + "\\n")
        return real(self, *args, **kwargs)
    if real.__name__ != "counting":
        setattr(cls, method, counting)
count(chatterbox.ChatterboxEngine, "__init__", "load")
count(chatterbox.ChatterboxEngine, "_encode", "encode")
"""
SPEAK = (
    "import chatter_nb as cn\n"
    "print(cn.generate_tts(cn.SpeakParams.from_notebook(globals())), cn.loaded())"
)
VOICES = ("target", "reading")


@pytest.fixture
def batch(tiny, tmp_path):
    """A batch of short texts on a tiny random checkpoint, with a voice each."""
    warm.shutdown()  # what an earlier test patched in its kernel counts for that test
    log = str(tmp_path / "calls.txt")
    write_notebook(tmp_path / "speak.ipynb", COUNTED.format(log=log), SPEAK)

    def make(number: int, out: str = "runs", **values):
        for index in range(number):
            voice = ROOT / "params" / "recordings" / f"{VOICES[index % 2]}.flac"
            lines = {"text": f"Number {index}.", "engine": "chatterbox", "voice": str(voice)}
            lines |= {"checkpoint": str(tiny()), "device": "cpu"}
            (tmp_path / f"text{index:02}.yaml").write_text(json.dumps(lines))
        plan = plan_batch(
            BatchParams(
                notebook=str(tmp_path / "speak.ipynb"),
                files=[f"{tmp_path}/text*.yaml"],
                outputs_dir=str(tmp_path / out),
                **values,
            )
        )
        return run_batch(plan), tmp_path / out

    return make


def calls(folder) -> list[str]:
    path = folder / "calls.txt"
    return path.read_text().split() if path.exists() else []


@pytest.mark.slow
def test_eight_runs_load_the_model_once_and_encode_each_voice_once(batch, tmp_path):
    """Counted in the kernel; and again in fresh kernels, a few of them give the same bytes."""
    report, runs = batch(8)
    assert report.status == "ok", str(report)
    assert sorted(calls(tmp_path)) == ["encode", "encode", "load"]
    (tmp_path / "calls.txt").unlink()
    fresh, other = batch(8, "fresh", fresh_kernels=True, limit=2)
    assert fresh.status == "ok", str(fresh)
    assert calls(tmp_path).count("load") == 2
    made = wavs(other)
    assert made == {name: wavs(runs)[name] for name in made}


@pytest.mark.slow
def test_a_checkpoint_after_another_takes_its_place_in_the_kernel(batch, tiny, tmp_path):
    """In kernels of their own both would run; a warm one lets go of the first."""
    second = tmp_path / "second"
    second.mkdir()
    for path in tiny().iterdir():
        os.link(path, second / path.name)
    report, _ = batch(2)
    assert report.status == "ok", str(report)
    for index in range(2):
        file = tmp_path / f"text{index:02}.yaml"
        file.write_text(file.read_text().replace(str(tiny()), str(second)))
    plan = plan_batch(
        BatchParams(
            notebook=str(tmp_path / "speak.ipynb"),
            files=[f"{tmp_path}/text*.yaml"],
            outputs_dir=str(tmp_path / "others"),
        )
    )
    report = run_batch(plan)
    assert report.status == "ok", str(report)
    assert calls(tmp_path).count("load") == 2
