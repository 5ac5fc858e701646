"""`chatter-nb selftest`: what it says of real engines, and of engines with a planted fault."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from conftest import ROOT
from typer.testing import CliRunner

pytest.importorskip("chatterbox", reason="needs chatterbox-tts")

import torch

from chatter_nb.base.errors import Cancelled, InputError
from chatter_nb.bench.selftest import machine, run, words
from chatter_nb.bench.selftest import subject as subject_module
from chatter_nb.bench.selftest.result import Result
from chatter_nb.bench.selftest.subject import choose
from chatter_nb.cli.app import app
from chatter_nb.engines import watermark
from chatter_nb.engines.chatterbox.t3 import TokenDecoder

NAMES = [check.name for check in run.CHECKS]
WITHOUT_CUDA = ["graphs on and off", "out of memory under a cap"]
LONG = ["same seed in two processes", "pace with 16 rows", "pace with 64 rows"]


@pytest.fixture(autouse=True)
def _small(own_models, monkeypatch):
    monkeypatch.setattr(words, "SENTENCES", 3)
    monkeypatch.setattr(words, "SOURCE_S", 4.0)


@pytest.fixture
def only(monkeypatch):
    """Leave only the checks of these names."""

    def choose_checks(*names):
        assert set(names) <= set(NAMES)
        monkeypatch.setattr(run, "CHECKS", [c for c in run.CHECKS if c.name in names])

    return choose_checks


@pytest.fixture
def selftest(tmp_path):
    """The command in this process: its exit code, its JSON, its page."""

    def call(*args):
        command = ["selftest", "--outputs-dir", str(tmp_path), "--json", *map(str, args)]
        done = CliRunner().invoke(app, command)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        report = json.loads((tmp_path / "selftest" / "selftest.json").read_text())
        assert json.loads(done.stdout) == report
        return done.exit_code, report, (tmp_path / "selftest" / "selftest.html").read_text()

    return call


def outcomes(report):
    return {check["name"]: check["outcome"] for check in report["checks"]}


def test_the_embedded_voice_holds_and_says_what_was_not_run(selftest):
    """All that needs no Chatterbox runs; the files, the schema and the order of the page."""
    code, report, page = selftest("--engine", "hibari")
    held = {"same seed in two processes", "watermark", "first sound", "pace with 1 row"}
    held |= {"conversion", "word errors", "peak memory"}
    assert {name for name, outcome in outcomes(report).items() if outcome == "holds"} == held
    assert set(outcomes(report).values()) == {"holds", "not run"}
    assert list(outcomes(report)) == NAMES
    assert (code, report["status"], report["schema"]) == (0, "ok", 1)
    assert report["subject"]["weights"] == "embedded"
    assert set(report["machine"]["versions"]) >= {"python", "numpy", "torch", "hibari-tts"}
    for check in report["checks"]:
        assert set(check) == {"name", "outcome", "why", "cure", "figures", "spent_s"}
        assert check["why"]
    assert page.index("<h2>Holds") < page.index("<h2>Not run")
    assert "<h2>Does not hold" not in page
    assert "<script" not in page


def test_chatterbox_on_random_weights_holds(selftest, only, tiny):
    only(*(name for name in NAMES if name not in LONG))
    code, report, _ = selftest("--checkpoint", tiny(), "--device", "cpu")
    not_run = {name for name, outcome in outcomes(report).items() if outcome == "not run"}
    assert not_run == {*WITHOUT_CUDA, "word errors"}
    assert "does not hold" not in outcomes(report).values()
    assert (code, report["subject"]["weights"]) == (0, "random")
    pace = next(c["figures"] for c in report["checks"] if c["name"] == "pace with 8 rows")
    assert pace["rtf"] >= pace["tokens"] > 0


def wrong_token(monkeypatch, tmp_path):
    """A bit of one token flips on its way out of the fast path."""
    decode = TokenDecoder.decode

    def spoiled(self, prompts, *args, **kwargs):
        for index, drawn in decode(self, prompts, *args, **kwargs):
            if index == 1:
                drawn = replace(drawn, tokens=drawn.tokens ^ (torch.arange(len(drawn.tokens)) == 3))
            yield index, drawn

    monkeypatch.setattr(TokenDecoder, "decode", spoiled)


def no_watermark(monkeypatch, tmp_path):
    leave = lambda self, signal, sample_rate: signal  # noqa: E731
    monkeypatch.setattr(watermark._Marker, "apply_watermark", leave)


def other_sample(monkeypatch, tmp_path):
    """Python runs this module at the start of the second process, before our own."""
    code = "import numpy as n; s = n.save; n.save = lambda p, a: s(p, a + (n.arange(len(a)) == 5))"
    (tmp_path / "sitecustomize.py").write_text(code.replace("== 5)", "== 5) * n.float32(1e-4)"))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")


FAULTS = {
    "tokens beside upstream's": (wrong_token, "chunk 1, token 3 of"),
    "watermark": (no_watermark, "not found in the file"),
    "same seed in two processes": (other_sample, "but 1 differ, by up to 1.0e-04"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_on_the_page_and_exits_with_1(
    name, selftest, only, tiny, monkeypatch, tmp_path
):
    plant, told = FAULTS[name]
    only(name, "peak memory")
    plant(monkeypatch, tmp_path)
    is_quick = name == "same seed in two processes"  # a second process that imports no torch
    engine = ["hibari"] if is_quick else ["chatterbox", "--checkpoint", tiny(), "--device", "cpu"]
    code, report, page = selftest("--engine", *engine)
    assert outcomes(report) == {name: "does not hold", "peak memory": "holds"}
    assert (code, report["status"]) == (1, "failed")
    found = next(check for check in report["checks"] if check["name"] == name)
    assert told in found["why"]
    assert found["cure"]
    assert (
        page.index("Does not hold") < page.index(name.replace("'", "&#39;")) < page.index("Holds")
    )


def test_a_check_that_raises_is_a_failure_of_its_own(selftest, monkeypatch, tmp_path):
    """Its message is there, without the names of the person, the folder and the machine."""
    names = {"user": "zaphod", "host": "heart-of-gold", "folder": "Gargle Blaster"}
    monkeypatch.setenv("HOME", f"/home/{names['user']}/{names['folder']}")
    monkeypatch.setattr(machine.getpass, "getuser", lambda: names["user"])
    monkeypatch.setattr(machine.platform, "node", lambda: names["host"])

    def broken(subject):
        place = "/srv/zaphod/w.pt, ~/x and C:\\Users\\zaphod\\y.pt"
        raise ValueError(f"{machine.os.environ['HOME']}/a/b.pt on heart-of-gold: {place}: bad")

    checks = [run.Check("broken", broken), run.Check("whole", lambda _: Result("holds", "so"))]
    monkeypatch.setattr(run, "CHECKS", checks)
    code, report, page = selftest("--engine", "hibari")
    assert outcomes(report) == {"broken": "does not hold", "whole": "holds"}
    found = report["checks"][0]
    assert found["why"] == "ValueError: b.pt on HOST: w.pt, ~/x and y.pt: bad"
    assert found["figures"]["raised_at"].endswith("broken")
    assert code == 1
    for text in (json.dumps(report), page):
        assert not any(name.lower() in text.lower() for name in names.values())


def test_what_does_not_fit_into_the_minutes_is_not_run(selftest, monkeypatch):
    code, report, _ = selftest("--engine", "hibari", "--minutes", "0.001")
    cures = {check["name"]: check["cure"] for check in report["checks"]}
    assert cures["watermark"] == cures["word errors"] == "1 more --minutes"
    assert "chatterbox" in cures["graphs on and off"]
    assert set(outcomes(report).values()) == {"not run"}
    assert code == 0
    assert "--minutes must be more than 0" in str(
        CliRunner().invoke(app, ["selftest", "--minutes", "0"]).exception
    )


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        (("chatterbox", "cpu"), "chatter-nb fetch chatterbox, or give --checkpoint FOLDER"),
        (("auto", "cpu", "", "best"), "--precision 'best' is none of auto"),
        (("hibari", "cpu", "", "fast"), "engine 'hibari' takes no --precision"),
        (("auto", "cuda:9"), "not on 'cuda:9'"),
    ],
)
def test_what_cannot_be_examined_is_told_before_the_work(chosen, told, monkeypatch):
    """Nothing is downloaded: a model that is not here is named with its command."""
    monkeypatch.setattr(subject_module, "cached", lambda model: None)
    with pytest.raises(InputError) as raised:
        choose(*chosen)
    assert told in str(raised.value)


def test_an_interrupt_keeps_what_was_found(tmp_path):
    """A real Ctrl-C in a real process, as soon as a check has ended."""
    record = tmp_path / "selftest" / "selftest.json"
    command = [sys.executable, "-m", "chatter_nb.cli", "selftest", "--engine", "hibari"]
    command += ["--outputs-dir", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    while process.poll() is None:
        if record.exists() and (done := len(json.loads(record.read_text())["checks"])):
            process.send_signal(signal.SIGINT)
            break
        time.sleep(0.01)
    told = process.communicate()[1]
    assert process.returncode == Cancelled.exit_code, told
    report = json.loads(record.read_text())
    whys = [check["why"] for check in report["checks"]]
    assert report["status"] == "cancelled"
    assert len(whys) == len(NAMES)
    assert "interrupted" not in whys[:done]
    assert whys[-1] == "interrupted"
    assert "interrupted after" in told
