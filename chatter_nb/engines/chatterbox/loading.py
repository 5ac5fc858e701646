"""Upstream's modules, built and filled from a checkpoint's files.

Upstream's own `from_local` is not used: it asks the hub for Cangjie and downloads pkuseg, accepts a
checkpoint with missing weights, gives every model a separate S3Gen, and fills 800 million weights
with random numbers before it copies the file's weights over them.

Here nothing is drawn, and on a CPU large weights are not copied: they are the file's own pages,
read at their first use, given back when memory is short, and shared with other processes. So a
checkpoint's file may be replaced while a process uses it, but not written to.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from chatterbox.models.s3gen import S3Gen
from chatterbox.models.t3 import T3
from chatterbox.models.voice_encoder import VoiceEncoder
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from chatter_nb.base.errors import ChatterError, InputError
from chatter_nb.engines import models
from chatter_nb.engines.chatterbox.architecture import read_sidecar, reduced, t3_config
from chatter_nb.engines.chatterbox.device import memory_explained, quiet_upstream
from chatter_nb.engines.gpu import check_fits_upstream, voice_device

# Buffers that upstream computes when it builds the module: older files lack them.
_COMPUTED = {"tokenizer._mel_filters", "tokenizer.window"}
_MESSAGE_WORDS = 40
# A file's tensors lie at any multiple of 4 bytes, torch's own at multiples of 64: elsewhere its
# convolutions and sums give other last bits, and waves that differ by 3e-5. Large matrices, which
# are repacked before they are multiplied, give the same (measured on x86 with AVX-512).
_BOUNDARY_BYTES = 64
_LARGE_BYTES = 1 << 20
TOO_LARGE = "close other programs that use it, or choose device: cpu"


# In the end every random initialisation is one of these, in place.
_RANDOM_FILLS = {torch.ops.aten.normal_.default, torch.ops.aten.uniform_.default}


def load_s3gen(
    folder: Path, name: str, device: str, *, meanflow: bool = False, purpose: str = ""
) -> Any:
    """The S3Gen of a checkpoint, in memory once for all engines that use the same file.

    A `purpose` gives a separate S3Gen, for code that changes its modules; on a CPU both have
    their weights in the same pages.
    """

    def load() -> Any:
        module = _built(folder, lambda: S3Gen(meanflow=meanflow))
        filled = _filled(module, folder / name, device, lenient=not meanflow)
        for encoder in (filled.tokenizer, filled.speaker_encoder):
            encoder.to(voice_device(device))
        return filled

    return models.shared(("s3gen", str((folder / name).resolve()), device, purpose), load)


def load_voice_encoder(folder: Path, name: str, device: str) -> Any:
    return _filled(_built(folder, VoiceEncoder), folder / name, voice_device(device))


def load_t3(folder: Path, name: str, device: str, model: str) -> Any:
    """In float32: a small GPU has no room for it."""
    check_fits_upstream(device)
    t3 = _filled(_built(folder, lambda: T3(t3_config(model))), folder / name, device)
    if t3.is_gpt:
        del t3.tfmr.wte  # Turbo embeds text and speech itself
    return t3


def load_tensors(path: Path, *, mapped: bool = False) -> Any:
    """The content of a .safetensors or .pt file, on the CPU; code in it is never run.

    If `mapped`, tensors are pages of the file where its format allows it, as they always are with
    .safetensors; writing to a tensor does not change the file.
    """
    with readable(path):
        if path.suffix == ".safetensors":
            return load_file(path)
        mapped = mapped and zipfile.is_zipfile(path)  # torch.save's old format cannot be mapped
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn each error of reading `path` into an `InputError` that names it."""
    try:
        yield
    except ChatterError:
        raise
    except Exception as error:  # each reader raises its own kinds, Exception itself among them
        message = " ".join(str(error).split()[:_MESSAGE_WORDS]) or type(error).__name__
        raise InputError(
            f"cannot read {path}: {message}. The file is damaged, cut off, or another model's: "
            "fetch it again"
        ) from error


class _Undrawn(TorchDispatchMode):
    """Random fills leave their tensor as it is: its memory is never touched."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func in _RANDOM_FILLS else func(*args, **(kwargs or {}))


def _built(folder: Path, construct: Callable[[], nn.Module]) -> nn.Module:
    """Upstream's module: its weights are undefined, its computed windows and tables are right."""
    generators_kept = torch.random.fork_rng(devices=[])
    with quiet_upstream(), reduced(read_sidecar(folder)), generators_kept, _Undrawn():
        return construct()


def _filled(module: nn.Module, path: Path, device: str, *, lenient: bool = False) -> Any:
    """The module with the weights of a file, on its device, ready for inference.

    `lenient` accepts unknown weights, as upstream's `strict=False`, but no missing weights.
    """
    state = load_tensors(path, mapped=True)
    if isinstance(state, dict) and "model" in state:  # a training checkpoint's wrapping
        state = state["model"][0]
    with readable(path), memory_explained(path.name, TOO_LARGE):
        fitting = _fitting(state, module, device)
        result = module.load_state_dict(fitting, strict=False, assign=True)
    missing = sorted(set(result.missing_keys) - (_COMPUTED if lenient else set()))
    unknown = [] if lenient else result.unexpected_keys
    if missing or unknown:
        raise InputError(
            f"{path} is not the checkpoint of this model: "
            f"{_some('lacks', missing)}{_some('has unknown', unknown)}"
        )
    with memory_explained(path.name, TOO_LARGE):
        return module.requires_grad_(False).to(device).eval()


def _fitting(state: Mapping[str, Tensor], module: nn.Module, device: str) -> dict[str, Tensor]:
    """The file's tensors on the device, in the module's dtypes, ready to become its weights.

    They are moved separately: the CPU's memory never holds all weights of a GPU.
    """
    dtypes = {name: weight.dtype for name, weight in module.state_dict().items()}
    return {
        name: _aligned(tensor.to(device, dtypes[name]).contiguous()) if name in dtypes else tensor
        for name, tensor in state.items()
    }


def _aligned(tensor: Tensor) -> Tensor:
    """The tensor at a boundary where torch itself would put it; large matrices stay in place."""
    if not tensor.is_cpu or (tensor.dim() == 2 and tensor.nbytes >= _LARGE_BYTES):
        return tensor
    return tensor.clone() if tensor.data_ptr() % _BOUNDARY_BYTES else tensor


def _some(what: str, names: list[str]) -> str:
    return f"{what} {len(names)} weights, such as {names[0]}. " if names else ""
