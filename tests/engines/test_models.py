"""Models: loaded once, let go on request, chosen with a reason."""

import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes import ToneEngine

from chatter_nb.base.errors import EngineError, UnavailableError
from chatter_nb.engines import models, registry
from chatter_nb.engines.registry import EngineEntry

TONE = EngineEntry("tone", "fakes", "ToneEngine", ("numpy",), "pip install tone")


@pytest.fixture(autouse=True)
def _own_models(monkeypatch):
    monkeypatch.setattr(models, "_models", {})
    monkeypatch.setattr(models, "_idle", set())


@pytest.fixture
def counted(monkeypatch):
    """A registered engine that counts how often it is loaded, slowly."""
    made = []

    def load(**options):
        made.append(options)
        threading.Event().wait(0.05)
        return ToneEngine()

    monkeypatch.setattr(EngineEntry, "engine_class", lambda entry: load)
    return made


def test_a_model_is_loaded_once_even_by_many_threads(counted):
    got = []
    load = lambda: got.append(models.get_or_load_tts_model("hibari"))  # noqa: E731
    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counted) == 1
    assert len({id(model) for model in got}) == 1


def test_int8_is_for_the_cpu_and_says_so():
    assert models.pick_precision("int8", "cpu").name == "int8"
    for device in ("cuda", "cuda:1", "mps"):
        with pytest.raises(UnavailableError, match=f"'int8' .* not for '{device}': .* device: cpu"):
            models.pick_precision("int8", device)


def test_unload_lets_go_and_says_what(counted):
    models.get_or_load_tts_model("hibari")
    assert models.loaded() == {"hibari": "cpu"}
    assert models.unload("other") == []
    assert models.unload() == ["hibari"]
    assert models.loaded() == {}
    models.get_or_load_tts_model("hibari")
    assert len(counted) == 2


def test_another_place_for_a_loaded_model_is_an_error(counted):
    models.get_or_load_tts_model("hibari")
    with pytest.raises(
        EngineError, match=r"loaded on cpu, not cpu from /x; call unload\('hibari'\)"
    ):
        models.get_or_load_tts_model("hibari", checkpoint="/x")


def test_a_relinquished_model_is_used_again_or_replaced(counted):
    """As in a kernel of its own, but for the loading: no error about another place."""
    models.get_or_load_tts_model("hibari")
    models.relinquish()
    models.get_or_load_tts_model("hibari")
    assert len(counted) == 1
    with pytest.raises(EngineError):  # it is in use again
        models.get_or_load_tts_model("hibari", checkpoint="/x")
    models.relinquish()
    models.get_or_load_tts_model("hibari", checkpoint="/x")
    assert len(counted) == 2
    assert models.loaded() == {"hibari": "cpu from /x"}


def test_loading_lets_go_of_relinquished_models_that_nothing_asked_for(counted):
    """One notebook's models at a time, unless the notebook itself wants both."""
    models.get_or_load_tts_model("hibari")
    models.relinquish()
    models.get_or_load_vc_model("world")
    assert list(models.loaded()) == ["convert/world"]
    models.get_or_load_tts_model("hibari")
    assert sorted(models.loaded()) == ["convert/world", "hibari"]


def test_auto_takes_the_embedded_voice_and_says_why_not_a_better_one(monkeypatch):
    """A better engine is passed over with its reason: not installed, or no GPU."""
    absent = EngineEntry("chatterbox", "x", "X", ("not_a_module",), "pip install x", needs_gpu=True)
    monkeypatch.setitem(registry.TTS_ENGINES, "chatterbox", absent)
    choice = models.pick_engine("auto")
    assert choice.name == "hibari"
    assert choice.reason == "the embedded voice; not chatterbox: not_a_module is not installed"


def fake_torch(cuda: bool):
    cuda_module = SimpleNamespace(
        is_available=lambda: cuda,
        device_count=lambda: 2,
        get_device_name=lambda device: f"GPU {device.partition(':')[2] or 0}",
        get_device_properties=lambda device: SimpleNamespace(total_memory=8 << 30),
        empty_cache=lambda: None,
    )
    mps = SimpleNamespace(is_available=lambda: False)
    return SimpleNamespace(cuda=cuda_module, backends=SimpleNamespace(mps=mps))


@pytest.fixture
def with_torch(monkeypatch):
    def put(cuda: bool):
        monkeypatch.setitem(sys.modules, "torch", fake_torch(cuda))
        monkeypatch.setattr(models, "find_spec", lambda name: object())

    return put


def test_auto_takes_chatterbox_where_it_is_installed_and_a_gpu_is_present(monkeypatch, with_torch):
    """The order of the registry is the order of preference."""
    there = EngineEntry("chatterbox", "x", "X", ("numpy",), "", needs_gpu=True)
    monkeypatch.setitem(registry.TTS_ENGINES, "chatterbox", there)
    with_torch(cuda=True)
    assert models.pick_engine().name == "chatterbox"
    with_torch(cuda=False)
    choice = models.pick_engine()
    assert (choice.name, choice.reason) == ("hibari", "the embedded voice; not chatterbox: no GPU")


def test_devices_come_with_a_reason(with_torch):
    with_torch(cuda=True)
    assert str(models.pick_device()) == "cuda (GPU 0)"
    assert str(models.pick_device("cuda:1")) == "cuda:1 (asked for: GPU 1)"
    assert str(models.pick_device("cpu")) == "cpu (asked for)"
    with pytest.raises(
        UnavailableError, match=r"'cuda:7' is not there; there is: cuda, cuda:0, cuda:1, cpu"
    ):
        models.pick_device("cuda:7")
    with_torch(cuda=False)
    assert str(models.pick_device()) == "cpu (no CUDA, no MPS)"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch alone can say")
def test_torch_is_not_loaded_to_learn_that_there_is_no_gpu(monkeypatch):
    """It takes seconds, at the start of every command and notebook."""
    monkeypatch.setattr(models, "find_spec", lambda name: object())
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    asked = []
    monkeypatch.setattr(models, "_pick_torch_device", asked.append)
    monkeypatch.setattr(models, "_GPU_FILES", ("no-such-card*",))
    assert str(models.pick_device()) == "cpu (no CUDA, no MPS)"
    assert asked == []
    monkeypatch.setattr(models, "_GPU_FILES", ("no-such-card*", "null"))  # a driver of this name
    models.pick_device()
    models.pick_device("cuda")  # asked for: torch alone says what is there
    assert asked == ["auto", "cuda"]


def test_without_torch_there_is_only_the_cpu(monkeypatch):
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    assert str(models.pick_device()) == "cpu (torch is not installed)"
    with pytest.raises(UnavailableError, match="'cuda' needs torch"):
        models.pick_device("cuda")


def test_the_embedded_voice_stays_on_the_cpu():
    assert str(models.pick_device(engine="hibari")) == "cpu (hibari runs on the cpu)"
    with pytest.raises(UnavailableError, match="'hibari' runs on the cpu only, not on 'cuda'"):
        models.pick_device("cuda", engine="hibari")


def test_an_unknown_engine_comes_with_those_there_are():
    with pytest.raises(UnavailableError, match=r"no engine 'x' speaks; there are: chatterbox, hib"):
        models.pick_engine("x")
    with pytest.raises(UnavailableError, match=r"no engine 'hibari' converts; there are: .*world"):
        models.pick_engine("hibari", "convert")


def test_a_shared_part_is_in_memory_once_and_as_long_as_it_is_used():
    made = []

    def load():
        made.append(ToneEngine())
        return made.pop()

    first = models.shared("part", load)
    assert models.shared("part", load) is first
    del first
    assert "part" not in models._shared


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_unload_gives_the_memory_back_to_the_system(monkeypatch):
    """Small pieces, which the allocator keeps for itself unless it is asked."""
    import numpy as np

    before = resident_mb()
    models._models["big"] = (("cpu", ""), [np.ones(2500, np.float32) for _ in range(20_000)])
    assert resident_mb() - before > 150
    models.unload("big")
    assert resident_mb() - before < 30


def resident_mb() -> float:
    status = Path("/proc/self/status").read_text()
    (line,) = [s for s in status.splitlines() if s.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def test_a_missing_package_comes_with_its_command():
    entry = EngineEntry("chatterbox", "x", "X", ("not_a_module",), "pip install thing")
    with pytest.raises(UnavailableError, match=r"not_a_module is not installed.*pip install thing"):
        entry.engine_class()
    assert TONE.engine_class() is ToneEngine
