"""What this package needs, what is installed of it, and pip asked for the rest and no more.

Requirements are read from the package's own metadata, so that no list is kept twice. Everything
that is installed already is held by a constraints file. Needs nothing but Python and pip.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from chatter_nb.base.errors import UnavailableError

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
        name, version = distribution.metadata["Name"], distribution.metadata["Version"]
        if name and version:  # a broken folder of metadata lacks them
            # The first on the path is the one that is imported.
            found.setdefault(normalised(name), version)
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


def install(
    wanted: Iterable[str],
    *,
    replace: Iterable[str] = (),
    keep: Iterable[str] = (),
    deps: bool = True,
) -> None:
    """Let pip install requirements and leave every installed distribution as it is, but `replace`.

    What those require may move with them, unless it is in `keep`. Raises `UnavailableError` with
    pip's own reason, and the version at fault, when that cannot be done.
    """
    wanted = list(wanted)
    if importlib.util.find_spec("pip") is None:
        raise UnavailableError(
            f"cannot install {', '.join(wanted)}: {sys.executable} has no pip; run "
            f"`{sys.executable} -m ensurepip`, or in an environment of uv's "
            f"`uv pip install --python {sys.executable} pip`"
        )
    with tempfile.TemporaryDirectory() as scratch:
        constraints = Path(scratch) / "installed.txt"
        constraints.write_text("\n".join(_held(replace, keep)), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
        # Not --quiet: with it pip does not say which version is at fault.
        command += ["--no-input", "--no-warn-conflicts", "--progress-bar", "off"]
        command += [] if deps else ["--no-deps"]
        command += ["--constraint", str(constraints), *wanted]
        done = subprocess.run(command, capture_output=True, text=True)
    importlib.invalidate_caches()
    if done.returncode:
        raise UnavailableError(
            f"pip could not install {', '.join(wanted)}: {_reason(done.stdout, done.stderr)}; run "
            "the cell again, and if it fails again start a fresh runtime (Runtime > Disconnect "
            "and delete runtime)"
        )


def _held(replace: Iterable[str], keep: Iterable[str]) -> list[str]:
    """A constraint for every installed distribution that must stay as it is."""
    replaced = {normalised(name) for name in (*replace, PACKAGE)}
    moving = set(replaced)
    for name in replaced - {normalised(PACKAGE)}:  # pydantic wants one version of pydantic-core
        with suppress(metadata.PackageNotFoundError):
            lines = metadata.requires(name) or []
            moving |= {normalised(_requirement(line).name) for line in lines}
    moving -= {normalised(name) for name in keep} - replaced
    return [f"{name}=={version}" for name, version in installed().items() if name not in moving]


def _reason(output: str, errors: str) -> str:
    """pip's errors and the versions at fault, without its advice, in a line."""
    told = [
        line.removeprefix("ERROR:").strip()
        for line in errors.splitlines()
        if line.startswith("ERROR:") and "ResolutionImpossible" not in line
    ]
    _, _, causes = output.partition("The conflict is caused by:\n")
    for cause in causes.partition("\n\n")[0].splitlines():
        cause = cause.strip().replace("The user requested (constraint)", "installed and kept:")
        told.append(cause.replace("The user requested", "asked for:"))
    last = [line.strip() for line in (errors or output).splitlines() if line.strip()][-3:]
    return "; ".join(told or last) or "it gave no reason"


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
