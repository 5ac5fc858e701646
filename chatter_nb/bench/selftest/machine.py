"""The machine in a report that a stranger sends: what decides speed and samples, and no names."""

from __future__ import annotations

import getpass
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from chatter_nb.bench.harness import cpu_name, versions
from chatter_nb.setup.gpus import nvidia_smi

_INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")
_ARM_INSTRUCTIONS = ("asimd", "bf16", "i8mm", "sve")


def machine() -> dict[str, Any]:
    """Processor, memory in GB (10⁹ bytes), graphics cards and versions."""
    torch = sys.modules.get("torch")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "instructions": " ".join(_instructions()) or "not known",
        "cores": os.cpu_count(),
        "memory_gb": _memory_gb(),
        "gpus": nvidia_smi("name", "memory.total", "driver_version").splitlines(),
        "torch_threads": torch.get_num_threads() if torch else None,
        "cuda": torch.version.cuda if torch else None,
        "versions": {name: version for name, version in versions().items() if version},
    }


def _instructions() -> Iterator[str]:
    """The instructions for numbers that the processor has, where Linux tells them."""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
        known = set(flags[1].split()) if flags else set()
        yield from (name for name in (*_INSTRUCTIONS, *_ARM_INSTRUCTIONS) if name in known)


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def anonymous(value: Any) -> Any:
    """`value` with home, temporary folder, host and user replaced in every text inside it."""
    if isinstance(value, dict):
        return {key: anonymous(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [anonymous(part) for part in value]
    if not isinstance(value, str):
        return value
    for pattern, instead in _names():
        value = re.sub(pattern, instead, value)
    return value


def _names() -> Iterator[tuple[str, str]]:
    """Patterns of names, and what stands in their place; of other paths the last name stays."""
    if (home := _called(lambda: str(Path.home()))) and home != os.sep:
        yield re.escape(home), "~"
    yield r"(?:~|\b[A-Za-z]:)?(?:[/\\][^\s/\\:,;'\")]+)+[/\\]([^\s/\\:,;'\")]+)", r"\1"
    for name, instead in ((platform.node, "HOST"), (getpass.getuser, "USER")):
        if found := _called(name):
            yield rf"\b{re.escape(found)}\b", instead


def _called(name: Callable[[], str]) -> str:
    """What a system's function returns; "" where it does not know."""
    try:
        return name()
    except (OSError, KeyError, ImportError, RuntimeError):
        return ""
