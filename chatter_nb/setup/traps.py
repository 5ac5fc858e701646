"""What spoils an installation of torch and Chatterbox, told from what was seen, and its cure.

Looks at nothing itself: `doctor` does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from packaging.version import Version

from chatter_nb.engines.watermark import CURE as PERTH_CURE

PAIR = "2.11.0"  # of torch and torchaudio, as in constraints.txt
GET_STARTED = "pytorch.org/get-started/locally"

Finding = tuple[str, str]  # what is wrong, and the command or the step that cures it


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA card as its driver names it, whatever torch makes of it."""

    name: str
    driver: str
    capability: tuple[int, int] | None = None


def import_traps(imports: dict[str, dict[str, Any]]) -> Iterator[Finding]:
    """What does not import, or imports and is not whole."""
    torch, torchaudio, perth = (imports.get(name, {}) for name in ("torch", "torchaudio", "perth"))
    if "error" in torch:
        told = f"torch {installed_version('torch')} does not load ({torch['error']})"
        yield told, f"pip install --force-reinstall torch=={PAIR} torchaudio=={PAIR}"
    if not torch or "error" in torch:
        return  # the others do not load without it
    version = torchaudio.get("version") or installed_version("torchaudio")
    if "error" in torchaudio:
        told = f"torchaudio {version} cannot load beside torch {torch['version']}"
        yield f"{told} ({torchaudio['error']})", _torchaudio_for(torch["version"])
    elif version and not belong_together(torch["version"], version):
        told = f"torchaudio {version} is built for another torch than {torch['version']}"
        yield told, _torchaudio_for(torch["version"])
    if "error" in perth or perth.get("none"):
        lacks = find_spec("pkg_resources") is None
        reason = (
            f"setuptools {installed_version('setuptools')} has no pkg_resources"
            if lacks
            else "no reason told"
        )
        told = f"PerTh, the watermark, does not load ({perth.get('error') or reason})"
        yield f"{told}: Chatterbox does not speak without it", PERTH_CURE


def belong_together(torch: str, torchaudio: str) -> bool:
    """Whether a torchaudio is made for a torch: from 2.11 on for every later one, else for its own.

    As docs.pytorch.org/audio/2.11.0/installation.html has it.
    """
    ours, theirs = Version(torch).release[:2], Version(torchaudio).release[:2]
    return ours >= theirs if theirs >= (2, 11) else ours == theirs


def _torchaudio_for(torch: str) -> str:
    """The torchaudio of torch's own version and build, without touching torch."""
    public, _, build = torch.partition("+")
    version = public if Version(public).release < (2, 11) else PAIR
    command = f"pip install --force-reinstall --no-deps torchaudio=={version}"
    return _from_build(command, build) if build else command


def gpu_traps(torch: dict[str, Any], gpus: list[Gpu]) -> Iterator[Finding]:
    """NVIDIA cards that torch cannot use, or that it would fail on."""
    if not torch or "error" in torch:
        return
    told = f"torch {torch['version']}"
    for name, capability in torch.get("gpus", []):
        if not runs_on(tuple(capability), torch["built_for"]):
            made_for = " ".join(torch["built_for"])
            dotted = ".".join(map(str, capability))
            driver = gpus[0].driver if gpus else ""
            yield (
                f"{told} has no code for {name} (compute capability {dotted}; it has {made_for})",
                _torch_for(Gpu(name, driver, tuple(capability))),
            )
    if torch.get("available") or not gpus:
        return
    gpu = gpus[0]
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not torch["cuda"]:
        yield f"{told} is a build without CUDA, and {gpu.name} stays idle", _torch_for(gpu)
    elif hidden is not None and not re.match(r"\d|GPU-|MIG-", hidden):
        yield f"CUDA_VISIBLE_DEVICES={hidden!r} hides {gpu.name}", "unset CUDA_VISIBLE_DEVICES"
    elif _driver(gpu) and _driver(gpu) < _least_driver(torch["cuda"]):
        yield (
            f"the NVIDIA driver {gpu.driver} is too old for {told} (CUDA {torch['cuda']}, "
            f"which needs {_least_driver(torch['cuda'])})",
            _torch_for(gpu),
        )
    else:
        why = f": {torch['told'][0]}" if torch["told"] else ""
        cure = "nvidia-smi must work here: restart the machine after a driver's update; "
        yield f"{told} cannot use {gpu.name}{why}", cure + "in Docker, run with --gpus all"


def runs_on(capability: tuple[int, ...], built_for: list[str]) -> bool:
    """Whether a build has code for a card: its major version, or anything newer than its PTX."""
    if not built_for or not all(arch.startswith(("sm_", "compute_")) for arch in built_for):
        return True  # AMD's names, or none: nothing known against it
    for arch in built_for:
        kind, _, digits = arch.rstrip("af").partition("_")
        made_for = (int(digits[:-1]), int(digits[-1]))
        if made_for <= capability and (kind == "compute" or made_for[0] == capability[0]):
            return True
    return False


def _torch_for(gpu: Gpu) -> str:
    """PyTorch's build for a card and its driver.

    Of torch 2.11: cu126 has code for capabilities 5.0 to 9.0, cu128 and cu130 for 7.5 and up
    (pytorch/pytorch#172352); CUDA 12 needs driver 525, 12.8 for new cards 570, 13 needs 580.
    """
    capability = gpu.capability or (8, 0)
    driver = _driver(gpu)
    newest = capability >= (10, 0)
    if driver and driver < (570 if newest else 525):
        return "update the NVIDIA driver to 580 or newer, then run chatter-nb doctor again"
    if capability < (7, 5):
        build = "cu126"
    elif driver and driver < 580:
        build = "cu128" if newest else "cu126"
    else:
        build = "cu130"
    pair = f"torch=={PAIR} torchaudio=={PAIR}"
    return _from_build(f"pip uninstall -y torch torchaudio && pip install {pair}", build)


def _from_build(command: str, build: str) -> str:
    """PyTorch keeps each build on an index of its own; its page gives the address."""
    return f"{command} with the index of PyTorch's {build} build: {GET_STARTED}"


def _driver(gpu: Gpu) -> int:
    """The driver's major version; 0 where it is not known."""
    return int(gpu.driver.partition(".")[0] or 0)


def _least_driver(cuda: str) -> int:
    return {11: 450, 12: 525}.get(Version(cuda).major, 580)


def installed_version(name: str) -> str | None:
    """A distribution's version; None if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
