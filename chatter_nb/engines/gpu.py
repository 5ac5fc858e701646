"""What calls into torch need of a GPU: room, the highest use of it, full float32, its size.

Torch is used where something else has loaded it; only questions about a named card import it.
GPUs of at most 4 GB make one chunk at a time, with 16-bit weights. The networks that encode a voice
stay on the CPU there, where each voice is encoded once and kept.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from chatter_nb.base.errors import UnavailableError

_precision = threading.Lock()
_precision_users = 0
_precision_before = ExitStack()  # puts back what the user had set
# A card's driver may report a little more or less than the 4 · 2³⁰ bytes that it is sold with.
_SMALL_BYTES = 4.5e9
_SMALL = "4 GB or less: one chunk at a time, voices are encoded on the CPU"


def return_memory() -> None:
    """Give the memory of dropped tensors back to the GPU."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch is not None and torch.backends.mps.is_available():
        torch.mps.empty_cache()


def memory_is_full(error: BaseException) -> bool:
    """Whether memory ran out; a CPU, MPS and CUDA's libraries have no special error for it."""
    torch = sys.modules["torch"]
    texts = ("out of memory", "ALLOC_FAILED", "can't allocate memory")
    full = isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in texts)
    return isinstance(error, RuntimeError) and full


def peak_gpu_mb(device: str = "cuda") -> float | None:
    """The most that tensors on `device` have held since `reset_peak_gpu`, in MB (10⁶ bytes).

    None for other devices than CUDA. What CUDA itself takes comes on top: some 500 MB.
    """
    torch = _cuda_torch(device)
    return torch.cuda.max_memory_allocated(device) / 1e6 if torch else None


def reset_peak_gpu(device: str) -> None:
    """Let `peak_gpu_mb` of `device` begin anew."""
    torch = _cuda_torch(device)
    if torch:
        torch.cuda.reset_peak_memory_stats(device)


def _cuda_torch(device: str) -> Any:
    """The module torch where it uses CUDA and `device` is a card of it, else None."""
    torch = sys.modules.get("torch")
    used = torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized()
    return torch if used and device.startswith("cuda") else None


@contextmanager
def full_float32(device: str) -> Iterator[None]:
    """On CUDA, float32 products and convolutions in IEEE float32 inside, whatever the user chose.

    Torch's default allows TF32 in convolutions. The settings are the process's: threads may be
    inside together, and the last to leave puts back what was there before the first.
    """
    global _precision_users
    if not device.startswith("cuda"):
        yield
        return
    with _precision:
        if not _precision_users:
            _turn_tf32_off(_precision_before)
        _precision_users += 1
    try:
        yield
    finally:
        with _precision:
            _precision_users -= 1
            if not _precision_users:
                _precision_before.close()


def _turn_tf32_off(before: ExitStack) -> None:
    """Set torch's settings, and give `before` what puts them back.

    Since 2.9 each backend has a `fp32_precision`. The older `allow_tf32` cannot be read any more
    where a user has set the new ones, so it serves older versions only.
    """
    backends = sys.modules["torch"].backends
    convolutions = getattr(backends.cudnn, "conv", backends.cudnn)
    for backend in (backends.cuda.matmul, convolutions):
        new = hasattr(backend, "fp32_precision")
        name, value = ("fp32_precision", "ieee") if new else ("allow_tf32", False)
        before.callback(setattr, backend, name, getattr(backend, name))
        setattr(backend, name, value)


def is_small_gpu(device: str) -> bool:
    """Whether `device` is a CUDA card of at most 4 GB."""
    if not device.startswith("cuda"):
        return False
    import torch

    return torch.cuda.get_device_properties(device).total_memory <= _SMALL_BYTES


def card_name(device: str) -> str:
    """The name of a CUDA card, and what follows if it is small."""
    import torch

    name: str = torch.cuda.get_device_name(device)
    return f"{name}; {_SMALL}" if is_small_gpu(device) else name


def voice_device(device: str) -> str:
    """Where an engine on `device` encodes voices, and has the networks for it."""
    return "cpu" if is_small_gpu(device) else device


def check_fits_upstream(device: str) -> None:
    """Raise `UnavailableError` where upstream's own loops have no room."""
    if is_small_gpu(device):
        raise UnavailableError(
            f"engine_path: upstream does not fit on '{device}', which has 4 GB or less: choose "
            "engine_path: fast, or device: cpu"
        )
