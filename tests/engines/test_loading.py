"""Loading: upstream's weights and tables bit for bit, nothing drawn, little copied."""

import random
import shutil
from contextlib import contextmanager
from importlib import import_module

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("chatterbox", reason="needs chatterbox-tts")

from safetensors.torch import load_file, save_file  # noqa: E402

from chatter_nb.engines.chatterbox import loading  # noqa: E402
from chatter_nb.engines.chatterbox.architecture import read_sidecar, reduced  # noqa: E402
from chatter_nb.engines.chatterbox.random_checkpoints import FILES  # noqa: E402

CLASSES = {
    "chatterbox": ("tts", "ChatterboxTTS"),
    "chatterbox-multilingual": ("mtl_tts", "ChatterboxMultilingualTTS"),
    "chatterbox-turbo": ("tts_turbo", "ChatterboxTurboTTS"),
}


@pytest.fixture(autouse=True)
def _own(monkeypatch):
    """No part that another test holds; no network for upstream's multilingual tokenizer."""
    from huggingface_hub import constants

    from chatter_nb.engines import models

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(models, "_shared", {})


def upstream(folder, model):
    """Upstream's `from_local`, for its T3, S3Gen and voice encoder."""
    module, name = CLASSES[model]
    with reduced(read_sidecar(folder)):
        tts = getattr(import_module(f"chatterbox.{module}"), name).from_local(folder, "cpu")
    return {"t3": tts.t3, "s3gen": tts.s3gen, "ve": tts.ve}


def ours(folder, model):
    t3, s3gen, encoder = FILES[model]
    return {
        "t3": loading.load_t3(folder, t3, "cpu", model),
        "s3gen": loading.load_s3gen(folder, s3gen, "cpu", meanflow=model == "chatterbox-turbo"),
        "ve": loading.load_voice_encoder(folder, encoder, "cpu"),
    }


def tensors(module):
    """Every tensor a module holds: parameters, buffers that are saved or not, plain attributes."""
    found = dict(module.named_parameters()) | dict(module.named_buffers())
    for place, part in module.named_modules():
        held = {k: v for k, v in vars(part).items() if torch.is_tensor(v)}
        listed = {
            f"{k}.{i}": v
            for k, values in vars(part).items()
            if isinstance(values, list)
            for i, v in enumerate(values)
            if torch.is_tensor(v)
        }
        found |= {f"{place}.{k}": v for k, v in (held | listed).items()}
    return found


@pytest.mark.parametrize("model", list(CLASSES))
def test_every_tensor_is_upstreams(model, tiny):
    """Names, types, shapes and bits: the LSTM's own list of its weights, weight norms, windows."""
    folder = tiny(model)
    theirs, own = upstream(folder, model), ours(folder, model)
    for part, module in own.items():
        expected, found = tensors(theirs[part]), tensors(module)
        assert set(found) == set(expected)
        for name, tensor in expected.items():
            assert found[name].dtype == tensor.dtype, (part, name)
            assert torch.equal(found[name], tensor), (part, name)
        assert list(module.state_dict()) == list(theirs[part].state_dict())
        assert not any(p.requires_grad for p in module.parameters())
        assert not any(m.training for m in module.modules())


@pytest.mark.parametrize("model", list(CLASSES))
def test_loading_draws_no_random_numbers(model, tiny):
    folder = tiny(model)
    before = torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002
    ours(folder, model)
    after = torch.get_rng_state(), random.getstate(), str(np.random.get_state())  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


@contextmanager
def counting_fills():
    """The random fills that reach torch, and the numbers they would draw."""
    drawn = []

    class Counter(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func in loading._RANDOM_FILLS:
                drawn.append(args[0].numel())
            return func(*args, **(kwargs or {}))

    with Counter():
        yield drawn


def test_no_weight_is_filled_only_to_be_replaced(tiny):
    """Upstream's own constructors, counted the same way, fill more than they hold."""
    folder = tiny()
    with counting_fills() as drawn, reduced(read_sidecar(folder)):
        loading.VoiceEncoder()
    assert sum(drawn) > 1000
    with counting_fills() as drawn:
        ours(folder, "chatterbox")
    assert drawn == []


def test_another_purpose_has_modules_of_its_own(tiny):
    plain = loading.load_s3gen(tiny(), "s3gen.safetensors", "cpu")
    fast = loading.load_s3gen(tiny(), "s3gen.safetensors", "cpu", purpose="fast")
    assert plain is loading.load_s3gen(tiny(), "s3gen.safetensors", "cpu")
    assert fast is loading.load_s3gen(tiny(), "s3gen.safetensors", "cpu", purpose="fast")
    assert fast is not plain
    fast.trim_fade = torch.zeros_like(fast.trim_fade)
    assert plain.trim_fade.any()


def test_a_file_of_another_precision_is_cast_as_upstreams_copy_does(tiny, tmp_path):
    folder = shutil.copytree(tiny(), tmp_path / "half")
    halves = {k: v.half() for k, v in load_file(folder / "ve.safetensors").items()}
    (folder / "ve.safetensors").unlink()
    save_file(halves, folder / "ve.safetensors")
    encoder = loading.load_voice_encoder(folder, "ve.safetensors", "cpu")
    assert {p.dtype for p in encoder.parameters()} == {torch.float32}
    assert torch.equal(encoder.proj.weight, halves["proj.weight"].float())


def test_a_training_checkpoints_wrapping_and_torchs_old_format_load(tiny, tmp_path):
    """Neither can be mapped or is flat; both are upstream's to load."""
    folder = shutil.copytree(tiny("chatterbox-multilingual"), tmp_path / "old")
    state = torch.load(folder / "ve.pt", weights_only=True)
    torch.save({"model": [state]}, folder / "ve.pt", _use_new_zipfile_serialization=False)
    encoder = loading.load_voice_encoder(folder, "ve.pt", "cpu")
    assert torch.equal(encoder.proj.weight, state["proj.weight"])


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_large_matrices_are_the_files_pages_and_the_rest_is_aligned(suffix, tmp_path):
    """Seen in the process's map: a large weight lies in the file, and writing to it does not."""
    path = tmp_path / f"weights{suffix}"
    state = {"bias": torch.arange(3.0), "weight": torch.rand(512, 1024)}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    before = path.read_bytes()
    linear = torch.nn.Linear(1024, 512)
    linear.bias = torch.nn.Parameter(torch.zeros(3))
    filled = loading._filled(linear, path, "cpu")
    assert torch.equal(filled.weight, state["weight"])
    assert filled.bias.data_ptr() % loading._BOUNDARY_BYTES == 0
    if maps := _mapped(path):
        assert any(start <= filled.weight.data_ptr() < end for start, end in maps)
    filled.weight.data.zero_()
    assert path.read_bytes() == before


def _mapped(path):
    """The addresses at which Linux has mapped the file; none elsewhere."""
    try:
        lines = open("/proc/self/maps").read().splitlines()  # noqa: PTH123, SIM115
    except OSError:
        return []
    spans = [line.split()[0].split("-") for line in lines if line.endswith(str(path))]
    return [(int(start, 16), int(end, 16)) for start, end in spans]
