"""A GPU of 4 GB or less: what is on it, what stays on the CPU, and what the plan says.

There is no such card here: its memory is made up, and the device `meta`, whose tensors have no
values, stands for the place that the fast path must not look into.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT

torch = pytest.importorskip("torch")
pytest.importorskip("chatterbox", reason="needs chatterbox-tts")

from chatter_nb.base.errors import UnavailableError  # noqa: E402
from chatter_nb.engines import gpu, models  # noqa: E402
from chatter_nb.engines.base import ChunkRequest  # noqa: E402
from chatter_nb.engines.chatterbox import convert, flow, loading, speak  # noqa: E402
from chatter_nb.engines.chatterbox.convert import ChatterboxConverter  # noqa: E402
from chatter_nb.engines.chatterbox.estimator import Estimator  # noqa: E402
from chatter_nb.engines.chatterbox.loading import load_s3gen, load_t3  # noqa: E402
from chatter_nb.engines.chatterbox.speak import ChatterboxEngine  # noqa: E402
from chatter_nb.engines.voices import Library  # noqa: E402

TARGET = str(ROOT / "params" / "recordings" / "target.flac")
SMALL, LARGE = 4 << 30, 6 << 30  # bytes


@pytest.fixture
def card(monkeypatch):
    """A made-up CUDA card."""

    def put(total_bytes, capability=(7, 5)):
        cuda = torch.cuda
        monkeypatch.setattr(cuda, "is_available", lambda: True)
        monkeypatch.setattr(cuda, "device_count", lambda: 1)
        monkeypatch.setattr(cuda, "get_device_name", lambda *_: "GTX 1650")
        monkeypatch.setattr(cuda, "get_device_capability", lambda *_: capability)
        properties = SimpleNamespace(total_memory=total_bytes)
        monkeypatch.setattr(cuda, "get_device_properties", lambda _: properties)

    return put


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "voices", tmp_path / "cache")


@pytest.fixture
def load(tiny, monkeypatch):
    """An engine with parts of its own; `encoders` is where its encoders of voices are."""

    def run(engine_class=ChatterboxEngine, encoders="cpu", **options):
        monkeypatch.setattr(models, "_shared", {})
        monkeypatch.setattr(loading, "voice_device", lambda device: encoders)
        return engine_class(device="cpu", checkpoint=str(tiny()), **options)

    return run


def spoken(engine, voice):
    request = ChunkRequest(0, "The cat sat on the mat.", 1, voice, "en", {"n_cfm_timesteps": 2})
    ((_, audio, _),) = engine.synthesize([request])
    return audio


def devices(module):
    return {tensor.device.type for tensor in (*module.parameters(), *module.buffers())}


def test_a_card_of_4_gb_is_small_and_another_device_never(card):
    card(SMALL)
    assert gpu.is_small_gpu("cuda:0")
    assert gpu.voice_device("cuda") == "cpu"
    assert not gpu.is_small_gpu("cpu")
    assert gpu.voice_device("mps") == "mps"
    card(LARGE)
    assert not gpu.is_small_gpu("cuda")
    assert gpu.voice_device("cuda:0") == "cuda:0"


def test_16_bits_are_chosen_for_it_and_the_reasons_say_why(card):
    """Cards before Ampere that have more memory stay with float32."""
    card(SMALL)
    assert str(models.pick_precision("auto", "cuda")).startswith("fast (the GPU has 4 GB or less")
    assert models.pick_precision("exact", "cuda").name == "exact"
    device = models.pick_device("cuda")
    assert device.reason.startswith("asked for: GTX 1650; 4 GB or less: one chunk at a time")
    card(LARGE)
    assert models.pick_precision("auto", "cuda").name == "exact"
    assert models.pick_device("cuda").reason == "asked for: GTX 1650"


def test_a_chunk_and_a_window_at_a_time(load, monkeypatch):
    assert load().rows > 1
    for module in (speak, convert):
        monkeypatch.setattr(module, "is_small_gpu", lambda _: True)
    assert load().rows == 1
    assert load(ChatterboxConverter).rows == 1


def test_speech_needs_none_of_the_networks_that_encode_voices(load, library):
    plain = load()
    small = load(encoders="meta")
    s3gen = small._s3gen
    for encoder in (s3gen.tokenizer, s3gen.speaker_encoder, small._voice_encoder):
        assert devices(encoder) == {"meta"}
    assert devices(s3gen.flow) == devices(s3gen.mel2wav) == {"cpu"}
    assert small._synthesizer.device.type == "cpu"
    voice = plain.prepare_voice("", library)
    assert np.array_equal(spoken(plain, voice), spoken(small, voice))


@pytest.mark.parametrize("engine_class", [ChatterboxEngine, ChatterboxConverter])
def test_a_voice_is_encoded_on_the_cpu_to_the_same_tensors(
    engine_class, load, library, tmp_path, monkeypatch, card
):
    """There is no CUDA here: touching it while encoding would be an error."""
    expected = load(engine_class).prepare_voice(TARGET, library).data
    engine = load(engine_class)
    card(SMALL)
    monkeypatch.setattr(engine, "device", "cuda")
    other = Library(tmp_path / "voices", tmp_path / "other cache")
    encoded = engine.prepare_voice(TARGET, other).data
    for ours, theirs in ((encoded.gen, expected.gen), (encoded.t3 or {}, expected.t3 or {})):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert torch.equal(value, theirs[name]) if torch.is_tensor(value) else value is None


@pytest.mark.parametrize("model", ["chatterbox", "chatterbox-turbo"])
def test_a_16_bit_estimator_does_without_the_float32_copy(model, tiny, monkeypatch):
    name = {"chatterbox": "s3gen.safetensors"}.get(model, "s3gen_meanflow.safetensors")
    monkeypatch.setattr(models, "_shared", {})
    s3gen = load_s3gen(tiny(model), name, "cpu", meanflow=model.endswith("turbo"))
    estimator = s3gen.flow.decoder.estimator
    expected = _slope(flow.Flow(s3gen, torch.bfloat16)._estimator)
    monkeypatch.setattr(flow, "is_small_gpu", lambda _: True)
    put_away = Estimator.put_float32_away
    monkeypatch.setattr(Estimator, "put_float32_away", lambda self, _: put_away(self, "meta"))
    exact = flow.Flow(s3gen)
    assert devices(estimator) == {"cpu"}
    small = flow.Flow(s3gen, torch.bfloat16)
    matrices = {name: own for name, own in estimator.named_parameters() if own.dim() > 1}
    here = {name for name, own in matrices.items() if not own.is_meta}
    assert 0 < len(here) < len(matrices) / 4
    assert all("time" in name or "mlp" in name for name in here)  # used in float32
    assert torch.equal(_slope(small._estimator), expected)
    assert _slope(exact._estimator).isfinite().all()  # what another engine uses stays


def _slope(estimator):
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(1, 30, 320, generator=draw).to(estimator.dtype)
    with torch.inference_mode():
        shifts = [shift[0] for shift in estimator.shifts(torch.tensor([0.0, 0.5, 1.0]))]
        return estimator(x, shifts, [30])


def test_a_float32_flow_brings_the_weights_back_first(tiny, monkeypatch):
    """The module's `to` comes before its weights are read."""
    monkeypatch.setattr(models, "_shared", {})
    s3gen = load_s3gen(tiny(), "s3gen.safetensors", "cpu")
    estimator, events = s3gen.flow.decoder.estimator, []
    move = estimator.to
    monkeypatch.setattr(estimator, "to", lambda device: events.append(str(device)) or move(device))
    monkeypatch.setattr(flow, "Estimator", lambda *_: events.append("read"))
    flow.Flow(s3gen)
    assert events == ["cpu", "read"]


def test_upstreams_own_loops_are_refused_before_anything_is_read(card, tmp_path):
    card(SMALL)
    with pytest.raises(UnavailableError, match=r"upstream does not fit on 'cuda'.*: choose"):
        load_t3(tmp_path, "t3_cfg.safetensors", "cuda", "chatterbox")
