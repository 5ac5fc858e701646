"""GPUs of at most 4 GB: one chunk at a time, 16-bit weights, and only what speaks on the GPU.

The networks that encode a voice stay on the CPU, where each voice is encoded once and kept.
"""

from __future__ import annotations

from chatter_nb.base.errors import UnavailableError

# A card's driver may report a little more or less than the 4 · 2³⁰ bytes that it is sold with.
_SMALL_BYTES = 4.5e9
_SMALL = "4 GB or less: one chunk at a time, voices are encoded on the CPU"


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
