"""NVIDIA's cards, as their driver reports them, without torch. Needs nothing but Python."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_DRIVER = Path("/proc/driver/nvidia/version")  # where nvidia-smi is missing or broken


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA card as its driver reports it; torch may see another."""

    name: str
    driver: str
    capability: tuple[int, int] | None = None


def nvidia_smi(*fields: str) -> str:
    """These fields of every card, one line for each; empty if nvidia-smi is missing or broken."""
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def look_at_gpus() -> list[Gpu]:
    """Every card; a card without a name if only the driver is visible."""
    lines = nvidia_smi("name", "driver_version", "compute_cap")
    cards = re.findall(r"^(.+), (\d[\d.]*), (\d+)\.(\d+)$", lines, re.MULTILINE)
    gpus = [Gpu(name, driver, (int(major), int(minor))) for name, driver, major, minor in cards]
    if gpus or not _DRIVER.is_file():
        return gpus
    version = re.search(r"\b\d{3}\.\d+(\.\d+)?\b", _DRIVER.read_text(errors="replace"))
    return [Gpu("an NVIDIA GPU", version[0] if version else "")]
