"""What this package needs, what is installed of it, and pip asked for the rest and no more.

Requirements are read from the package's own metadata, so that no list is kept twice. Everything
that is installed already is held by a constraints file. Needs nothing but Python and pip.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from chatter_nb.errors import UnavailableError

PACKAGE = "chatter_nb"


@dataclass(frozen=True)
class Need:
    """A requirement that is not met: `have` is the version that is here, None for none."""

    name: str
    requirement: str
    have: str | None


def installed() -> dict[str, str]:
    """Every installed distribution's version, by its normalised name."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:  # a broken folder of metadata has none; the first on the path is the one imported
            found.setdefault(normalised(name), distribution.version)
    return found


def normalised(name: str) -> str:
    """`ruamel.yaml`, `ruamel_yaml` and `Ruamel-YAML` are one distribution."""
    return name.lower().replace("_", "-").replace(".", "-")


def needs(extra: str = "", *, without: Iterable[str] = ()) -> list[Need]:
    """What the package, or one of its extras, requires and this environment does not fulfil."""
    here, skipped = installed(), {normalised(name) for name in without}
    found = []
    for line in metadata.requires(PACKAGE) or []:
        requirement = _requirement(line)
        name = normalised(requirement.name)
        if name in skipped or not _applies(requirement, extra):
            continue
        have = here.get(name)
        if have is None or not requirement.specifier.contains(have, prereleases=True):
            found.append(Need(name, f"{requirement.name}{requirement.specifier}", have))
    return found


def install(wanted: Iterable[str], *, replace: Iterable[str] = (), deps: bool = True) -> None:
    """Let pip install requirements and leave every installed distribution as it is, but `replace`.

    Raises `UnavailableError` with pip's own reason when that cannot be done.
    """
    replaced = {normalised(name) for name in (*replace, PACKAGE)}
    held = [f"{name}=={version}" for name, version in installed().items() if name not in replaced]
    with tempfile.TemporaryDirectory() as scratch:
        constraints = Path(scratch) / "installed.txt"
        constraints.write_text("\n".join(held), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        command += [] if deps else ["--no-deps"]
        command += ["--constraint", str(constraints), *wanted]
        done = subprocess.run(command, capture_output=True, text=True)
    importlib.invalidate_caches()
    if done.returncode:
        told = _reason(done.stderr or done.stdout)
        raise UnavailableError(
            f"pip could not install {', '.join(wanted)}: {told}; run the cell again, and if it "
            "fails again start a fresh runtime (Runtime > Disconnect and delete runtime)"
        )


def _reason(output: str) -> str:
    """pip's errors without its advice, in a line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR:").strip() for line in lines if line.startswith("ERROR:")]
    return " ".join(errors or lines[-3:]) or "it gave no reason"


def _applies(requirement: Any, extra: str) -> bool:
    """Of the extra itself where one is named, else of the package without any."""
    marker = requirement.marker
    if marker is None:
        return not extra
    plain = bool(marker.evaluate({"extra": ""}))
    return bool(marker.evaluate({"extra": extra})) and not plain if extra else plain


def _requirement(line: str) -> Any:
    """`packaging` is in every environment with pip: as itself, or inside pip."""
    for home in ("packaging", "pip._vendor.packaging"):
        with suppress(ImportError):
            return importlib.import_module(f"{home}.requirements").Requirement(line)
    raise UnavailableError(f"cannot read {line!r}: no packaging and no pip here; install pip")
