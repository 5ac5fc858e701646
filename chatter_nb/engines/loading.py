"""Upstream's modules, built and filled from a checkpoint's files.

Upstream's own `from_local` is not used: it asks the hub for Cangjie and downloads pkuseg, takes a
checkpoint with missing weights for a good one, and gives every model an S3Gen of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from chatterbox.models.s3gen import S3Gen
from chatterbox.models.t3 import T3
from chatterbox.models.voice_encoder import VoiceEncoder
from safetensors.torch import load_file

from chatter_nb import models
from chatter_nb.engines.architecture import read_sidecar, reduced, t3_config
from chatter_nb.engines.device import memory_told, quiet_upstream
from chatter_nb.errors import ChatterError, InputError

# Buffers that upstream computes when it builds the module: older files lack them.
_COMPUTED = {"tokenizer._mel_filters", "tokenizer.window"}
_TOLD_WORDS = 40
_TOO_LARGE = "close other programs that use it, or choose device: cpu"


def load_s3gen(folder: Path, name: str, device: str, *, meanflow: bool = False) -> Any:
    """The S3Gen of a checkpoint, one in memory for all engines that use the same file."""

    def load() -> Any:
        with quiet_upstream(), reduced(read_sidecar(folder)):
            module = S3Gen(meanflow=meanflow)
        return _filled(module, folder / name, device, lenient=not meanflow)

    return models.shared(("s3gen", str((folder / name).resolve()), device), load)


def load_voice_encoder(folder: Path, name: str, device: str) -> Any:
    with quiet_upstream(), reduced(read_sidecar(folder)):
        module = VoiceEncoder()
    return _filled(module, folder / name, device)


def load_t3(folder: Path, name: str, device: str, model: str) -> Any:
    with quiet_upstream(), reduced(read_sidecar(folder)):
        module = T3(t3_config(model))
    t3 = _filled(module, folder / name, device)
    if t3.is_gpt:
        del t3.tfmr.wte  # Turbo embeds text and speech itself
    return t3


def load_tensors(path: Path) -> Any:
    """What a .safetensors or .pt file holds, on the CPU; never code."""
    with readable(path):
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """An `InputError` that names the file, whatever its reader says of it."""
    try:
        yield
    except ChatterError:
        raise
    except Exception as error:  # each reader raises its own kinds, Exception itself among them
        told = " ".join(str(error).split()[:40]) or type(error).__name__
        raise InputError(
            f"cannot read {path}: {told}. The file is damaged, cut off, or another model's: "
            "fetch it again"
        ) from error


def _filled(module: Any, path: Path, device: str, *, lenient: bool = False) -> Any:
    """The module with a file's weights, on its device, ready for inference.

    `lenient` is upstream's `strict=False`, but for weights that are missing.
    """
    state = load_tensors(path)
    if isinstance(state, dict) and "model" in state:  # a training checkpoint's wrapping
        state = state["model"][0]
    with readable(path):
        found = module.load_state_dict(state, strict=False)
    missing = sorted(set(found.missing_keys) - (_COMPUTED if lenient else set()))
    unknown = [] if lenient else found.unexpected_keys
    if missing or unknown:
        raise InputError(
            f"{path} is not the checkpoint of this model: "
            f"{_some('lacks', missing)}{_some('has unknown', unknown)}"
        )
    with memory_told(path.name, _TOO_LARGE):
        return module.to(device).eval()


def _some(what: str, names: list[str]) -> str:
    return f"{what} {len(names)} weights, such as {names[0]}. " if names else ""
