"""What a GPU needs, on a machine without one: stand-ins for CUDA, and torch's own settings."""

import threading
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from fakes import ToneEngine, speaking_with

torch = pytest.importorskip("torch")

from chatter_nb.engines import gpu  # noqa: E402
from chatter_nb.engines.gpu import full_float32, memory_is_full, peak_gpu_mb  # noqa: E402
from chatter_nb.params.runs import SpeakParams  # noqa: E402
from chatter_nb.runs.speak import generate_tts  # noqa: E402

BACKENDS = torch.backends


def settings():
    """All that torch says about its precision; None where it refuses to say."""

    def told(read):
        try:
            return read()
        except RuntimeError:  # a user has mixed the older and the newer settings
            return None

    return [
        told(torch.get_float32_matmul_precision),
        told(lambda: BACKENDS.cuda.matmul.allow_tf32),
        told(lambda: BACKENDS.cudnn.allow_tf32),
        BACKENDS.fp32_precision,
        BACKENDS.cuda.matmul.fp32_precision,
        BACKENDS.cudnn.conv.fp32_precision,
        BACKENDS.cudnn.rnn.fp32_precision,
    ]


def inside():
    return BACKENDS.cuda.matmul.fp32_precision, BACKENDS.cudnn.conv.fp32_precision


@pytest.fixture(autouse=True)
def _settings_put_back():
    before = settings()
    yield
    torch.set_float32_matmul_precision(before[0])
    BACKENDS.cudnn.allow_tf32 = before[2]
    BACKENDS.fp32_precision, BACKENDS.cuda.matmul.fp32_precision = before[3:5]
    BACKENDS.cudnn.conv.fp32_precision, BACKENDS.cudnn.rnn.fp32_precision = before[5:]
    assert settings() == before


USERS = {
    "nothing": lambda: None,
    "older, high": lambda: torch.set_float32_matmul_precision("high"),
    "older, no TF32": lambda: setattr(BACKENDS.cudnn, "allow_tf32", False),
    "newer, products": lambda: setattr(BACKENDS.cuda.matmul, "fp32_precision", "tf32"),
    "newer, convolutions": lambda: setattr(BACKENDS.cudnn.conv, "fp32_precision", "ieee"),
    "newer, all": lambda: setattr(BACKENDS, "fp32_precision", "tf32"),
}


@pytest.mark.parametrize("user", USERS)
def test_float32_is_full_inside_and_the_users_setting_is_put_back(user):
    """With torch's newer settings, reading the older ones raises an error."""
    USERS[user]()
    before, found = settings(), []

    def fail():
        with full_float32("cuda:1"):
            found.append(inside())
            raise ValueError("gone")

    with pytest.raises(ValueError, match="gone"):
        fail()
    assert found == [("ieee", "ieee")]
    assert settings() == before
    with full_float32("cpu"):
        assert settings() == before


def test_the_last_thread_to_leave_puts_the_setting_back():
    """T3 and S3Gen are inside together; either may leave first."""
    BACKENDS.cuda.matmul.fp32_precision = "tf32"
    before, entered, left = settings(), threading.Event(), threading.Event()
    found = []

    def other():
        with full_float32("cuda"):
            entered.set()
            left.wait(30)
            found.append(inside())

    with full_float32("cuda"):
        thread = threading.Thread(target=other)
        thread.start()
        assert entered.wait(30)
    left.set()
    thread.join()
    assert found == [("ieee", "ieee")]
    assert settings() == before


def test_an_older_torch_has_other_names(monkeypatch):
    older = SimpleNamespace(
        cuda=SimpleNamespace(matmul=SimpleNamespace(allow_tf32=True)),
        cudnn=SimpleNamespace(allow_tf32=True),
    )
    monkeypatch.setattr(torch, "backends", older)
    with full_float32("cuda"):
        assert (older.cuda.matmul.allow_tf32, older.cudnn.allow_tf32) == (False, False)
    assert (older.cuda.matmul.allow_tf32, older.cudnn.allow_tf32) == (True, True)


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.OutOfMemoryError("any text"), True),
        (RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("CUDA error: an illegal memory access"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_every_kind_of_full_memory_is_known(error, full):
    assert memory_is_full(error) is full


class Cards:
    """Stands in for the statistics of two cards; tensors have held 3 GB of the second."""

    def __init__(self, monkeypatch):
        self.peaks = {"cuda": 1e9, "cuda:1": 3e9}
        for name, value in (("is_available", True), ("is_initialized", True)):
            monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
        monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: self.peaks[device])
        reset = lambda device: self.peaks.update({device: 0})  # noqa: E731
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)


def test_the_peak_is_the_engines_own_cards(monkeypatch):
    assert peak_gpu_mb("cuda") is None
    Cards(monkeypatch)
    assert (peak_gpu_mb("cuda:1"), peak_gpu_mb("cuda"), peak_gpu_mb("cpu")) == (3000, 1000, None)


def test_a_runs_peak_is_its_own_and_of_its_own_card(monkeypatch, tmp_path):
    """What an earlier run held, or another card, is not this run's."""
    cards, engine = Cards(monkeypatch), ToneEngine()
    engine.device = "cuda:1"
    speak = engine.synthesize

    def using_memory(*args, **kwargs):
        cards.peaks["cuda:1"] = max(cards.peaks["cuda:1"], 2e9)
        return speak(*args, **kwargs)

    monkeypatch.setattr(engine, "synthesize", using_memory)
    with speaking_with(engine):
        record = generate_tts(
            SpeakParams(text="Hello.", engine="hibari", outputs_dir=str(tmp_path))
        ).record
    assert record.peak_gpu_mb == 2000


@pytest.fixture
def entered(monkeypatch):
    """The devices whose float32 is full at the moment."""
    pytest.importorskip("chatterbox", reason="needs chatterbox-tts")
    from chatter_nb.engines import watermark
    from chatter_nb.engines.chatterbox import device as device_module
    from chatter_nb.engines.chatterbox import fast

    devices = []

    @contextmanager
    def noted(device):
        devices.append(device)
        try:
            yield
        finally:
            devices.pop()

    for module in (device_module, fast, watermark):
        monkeypatch.setattr(module, "full_float32", noted)
    return devices


def noting(monkeypatch, owner, method, entered, found):
    """Notes for each call of a method whether float32 was full."""
    call = getattr(owner, method)

    def noted(*args, **kwargs):
        found[method] = found.get(method, True) and entered != []
        return call(*args, **kwargs)

    monkeypatch.setattr(owner, method, noted)


def test_all_work_of_a_gpu_is_in_full_float32(tiny, tmp_path, entered, monkeypatch, own_models):
    """Speech, conversion, voices and the watermark: TF32 would move pitch, tokens and company."""
    from chatterbox.models.s3gen import S3Gen
    from chatterbox.models.s3tokenizer import S3Tokenizer
    from conftest import ROOT
    from perth import PerthImplicitWatermarker

    from chatter_nb.engines.chatterbox.batch import Rows
    from chatter_nb.engines.chatterbox.flow import Flow
    from chatter_nb.engines.chatterbox.vocoder import Vocoder
    from chatter_nb.params.runs import ConvertParams
    from chatter_nb.runs.convert import convert_voice

    found = {}
    for owner, method in (
        (Flow, "mels"),
        (Flow, "prompt"),
        (Vocoder, "add"),
        (S3Tokenizer, "quantize"),
        (S3Gen, "embed_ref"),
        (Rows, "step"),
        (PerthImplicitWatermarker, "apply_watermark"),
    ):
        noting(monkeypatch, owner, method, entered, found)
    recordings = ROOT / "params" / "recordings"
    own = {"engine": "chatterbox", "checkpoint": str(tiny()), "outputs_dir": str(tmp_path)}
    own |= {"n_cfm_timesteps": 1, "prompt_s": 1.0}
    voice = str(recordings / "target.flac")
    generate_tts(SpeakParams.create(own | {"text": "Hello.", "voice": voice}))
    source = str(recordings / "reading.flac")
    convert_voice(ConvertParams.create(own | {"source": source, "target": voice}))
    assert len(found) == 7
    assert all(found.values()), found


@pytest.mark.parametrize("method", ["apply_watermark", "get_watermark"])
def test_the_watermark_goes_to_the_cpu_for_every_kind_of_full_memory(method, monkeypatch):
    """cuFFT says ALLOC_FAILED in an ordinary RuntimeError."""
    from chatter_nb.engines import watermark

    def failing(text):
        def fail(*_, **__):
            raise RuntimeError(text)

        return watermark._Marker(SimpleNamespace(**{method: fail}), "cuda")

    on_cpu = SimpleNamespace(**{method: lambda signal, **options: signal + len(options)})
    monkeypatch.setattr(watermark, "load_perth", lambda device: {"cpu": on_cpu}[device])
    signal = np.zeros(10, np.float32)
    made = getattr(failing("cuFFT error: CUFFT_ALLOC_FAILED"), method)(signal, 24_000)
    assert len(made) == 10
    assert made.all()
    with pytest.raises(RuntimeError, match="illegal"):
        getattr(failing("an illegal memory access"), method)(signal, 24_000)


def test_memory_goes_back_without_torch(monkeypatch):
    monkeypatch.setitem(gpu.sys.modules, "torch", None)
    gpu.return_memory()
    assert peak_gpu_mb("cuda") is None
