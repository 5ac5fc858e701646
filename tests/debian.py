"""Real documents: what Debian's packages hold, and the programs there that make more of them."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest


def unpack(packages: Sequence[str], folder: Path) -> list[Path]:
    """Download packages by apt, and unpack each into a folder of its own, in their order.

    Skips the test where there is no apt or no network. Installs nothing.
    """
    if not shutil.which("apt-get"):
        pytest.skip(f"needs apt-get, to download {' '.join(packages)}")
    done = subprocess.run(["apt-get", "download", *packages], cwd=folder, capture_output=True)
    if done.returncode:
        pytest.skip(f"apt-get download failed (apt-get update?): {done.stderr.decode()[-200:]}")
    for name in packages:
        (archive,) = folder.glob(f"{name}_*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, folder / name], check=True)
    return [folder / name for name in packages]


def needs_makers() -> None:
    """Skips the test where a program that makes books is missing (`make makers`)."""
    if missing := [n for n in ("pandoc", "dbtoepub", "sphinx-build") if not shutil.which(n)]:
        cure = "as root: apt-get install pandoc dbtoepub python3-sphinx"
        pytest.skip(f"needs {', '.join(missing)} ({cure})")
