"""`chatter-nb selftest`: what it says of real engines, and of engines with a planted fault."""

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT
from fakes import ToneEngine, speaking_with
from typer.testing import CliRunner

pytest.importorskip("chatterbox", reason="needs chatterbox-tts")

import torch

from chatter_nb.base.errors import Cancelled, InputError
from chatter_nb.bench.selftest import machine, run, sound, tokens, words
from chatter_nb.bench.selftest import subject as subject_module
from chatter_nb.bench.selftest.result import Result
from chatter_nb.bench.selftest.subject import Spoken, Subject, choose
from chatter_nb.cli.app import app
from chatter_nb.engines import watermark
from chatter_nb.engines.chatterbox.batch import Rows
from chatter_nb.engines.chatterbox.cache import Cache
from chatter_nb.engines.chatterbox.graphs import Direct
from chatter_nb.engines.chatterbox.t3 import TokenDecoder

NAMES = [check.name for check in run.CHECKS]
WITHOUT_CUDA = ["graphs on and off", "out of memory under a cap"]
LONG = ["same seed in two processes", "pace with 16 rows", "pace with 64 rows"]
FEW_SENTENCES = 3


@pytest.fixture(autouse=True)
def _small(own_models, monkeypatch):
    monkeypatch.setattr(words, "SENTENCES", FEW_SENTENCES)
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


@pytest.fixture(scope="module")
def subject(tiny, tmp_path_factory):
    return Subject(choose("chatterbox", "cpu", str(tiny())), tmp_path_factory.mktemp("runs"))


def outcomes(report):
    return {check["name"]: check["outcome"] for check in report["checks"]}


def test_the_embedded_voice_holds_and_says_what_was_not_run(selftest, only):
    """All that needs no Chatterbox runs; the files, the schema and the order of the page."""
    only(*NAMES)
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


def test_a_cache_that_loses_its_content_when_it_grows_is_found(subject, monkeypatch):
    assert tokens.growing_cache(subject).outcome == "holds"
    grow, grown = Cache.grow, []

    def losing(self, capacity):
        grow(self, capacity)
        if capacity > subject.sides().decoder.pace.room:
            grown.append(capacity)
            self.data.zero_()

    monkeypatch.setattr(Cache, "grow", losing)
    found = tokens.growing_cache(subject)
    assert grown
    assert found.outcome == "does not hold"
    assert "other tokens, while it grows: chunk" in found.why


class Replayed(Direct):
    """Stands in for captured graphs on a CPU."""


class Stale(Replayed):
    """A graph that changes the latest token of the first row."""

    def get(self, key, step):
        return lambda: (step(), self._state[0][:1].add_(1))


class Refused(Replayed):
    def get(self, key, step):
        self.on_note("CUDA graphs cannot be captured here (planted)")
        return step


@pytest.mark.parametrize(
    ("runs", "outcome", "told"),
    [
        (Replayed, "holds", "the same tokens"),
        (Stale, "does not hold", "other tokens, without: chunk"),
        (Refused, "does not hold", "cannot be captured here (planted)"),
    ],
)
def test_graphs_that_change_tokens_or_cannot_be_captured_are_found(runs, outcome, told, subject):
    sides = subject.sides()
    sides.decoder.pace = replace(sides.decoder.pace, runs=runs)
    found = tokens.graphs(subject)
    assert found.outcome == outcome
    assert told in found.why


def test_memory_under_a_cap_halves_the_rows_and_keeps_the_tokens(subject, monkeypatch):
    """On a CPU, with a cap that refuses more than four rows."""
    monkeypatch.setattr(tokens, "memory_of", lambda device, call: (3_000_000, call()))
    make = Rows.__init__

    @contextmanager
    def cap(device, more_bytes):
        assert more_bytes == 1_000_000

        def capped(self, decoder, prefix, knobs, rows, *args):
            if rows > 4:
                raise torch.OutOfMemoryError("planted")
            make(self, decoder, prefix, knobs, rows, *args)

        with monkeypatch.context() as patch:
            patch.setattr(Rows, "__init__", capped)
            yield

    monkeypatch.setattr(tokens, "memory_cap", cap)
    found = tokens.out_of_memory(subject)
    assert found.outcome == "holds"
    assert "went on with 4 chunks together" in found.why
    assert found.figures["times_halved"] == 2


@pytest.fixture
def on_gpu(tmp_path, monkeypatch):
    """A subject on an H100 whose runs take what they are told; `spoken` lists their chunks."""

    def make(whole_s=1.0, heard_s=0.1, audio_s=100.0):
        examined = Subject(choose("hibari"), tmp_path)
        card = replace(examined.settled.device, name="cuda", reason="NVIDIA H100 80GB HBM3")
        examined.settled, examined.device = replace(examined.settled, device=card), "cuda"
        record = SimpleNamespace(
            audio_s=audio_s, stages_s={"load": 9.0, "tokens": 0.5}, warnings=()
        )
        speech = SimpleNamespace(record=record, audio_s=audio_s)
        spoken = []

        def speak(texts, **options):
            spoken.append(len(texts))
            return Spoken(speech, whole_s, [], [heard_s])

        monkeypatch.setattr(examined, "speak", speak)
        return examined, spoken

    return make


@pytest.mark.parametrize(("whole_s", "outcome"), [(0.99, "holds"), (1.01, "does not hold")])
def test_on_an_h100_the_pace_has_a_goal_a_warm_up_and_a_queue(on_gpu, whole_s, outcome):
    examined, spoken = on_gpu(whole_s=whole_s)
    found = sound.pace(examined, 16)
    assert found.outcome == outcome
    assert spoken == [16, 64]
    assert found.figures == {"rtf": whole_s / 100, "tokens": 0.005}
    assert sound.pace(examined, 8).outcome == "holds"


@pytest.mark.parametrize(("heard_s", "outcome"), [(0.29, "holds"), (0.31, "does not hold")])
def test_on_cuda_the_first_sound_has_a_goal(on_gpu, heard_s, outcome):
    examined, spoken = on_gpu(heard_s=heard_s)
    found = sound.first_sound(examined)
    assert found.outcome == outcome
    assert found.figures["share"] == pytest.approx(heard_s)
    assert spoken == [1, 1, 1]  # the first of them chooses kernels and captures graphs


@pytest.mark.parametrize(("device", "number"), [("cuda", 0), ("cuda:1", 1)])
def test_the_cap_is_lifted_whatever_happens(device, number, monkeypatch):
    """With torch's own checks of the device and the share, on a machine without a card."""
    told = []
    monkeypatch.setattr(torch.cuda.memory, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda at: 10**9)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda at: (0, 8 * 10**9))
    tell = lambda share, at: told.append((share, at))  # noqa: E731
    monkeypatch.setattr(torch._C, "_cuda_setMemoryFraction", tell, raising=False)
    with pytest.raises(ValueError, match="planted"), tokens.memory_cap(device, 10**9):
        raise ValueError("planted")
    assert told == [(0.25, number), (1.0, number)]


def test_a_hum_has_word_errors(selftest, only):
    only("word errors")
    with speaking_with(ToneEngine()):
        code, report, _ = selftest("--engine", "hibari")
    assert (code, outcomes(report)) == (1, {"word errors": "does not hold"})
    assert report["checks"][0]["figures"]["word_errors"] > 0.9


def test_a_conversion_that_stays_its_source_is_found(tmp_path, monkeypatch):
    class Unchanged:
        def __init__(self, plan, **_):
            self.plan = plan

        def read(self):
            return words.read_audio(self.plan.outputs[0].path)

    monkeypatch.setattr(words, "render_conversion", Unchanged)
    found = words.conversion(Subject(choose("hibari"), tmp_path))
    assert found.outcome == "does not hold"
    assert np.isfinite(found.spent_s)
