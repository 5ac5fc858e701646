"""The requirements of this package: which are not met here, and how pip installs only these.

Requirements are read from the package's own metadata, so that no list is written twice. A
constraints file holds everything that is installed already. `pip freeze` cannot write this file,
because pip takes no line of an editable install as a constraint. Needs nothing but Python and pip.
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
UPSTREAM = "0.1.7"  # the version of chatterbox-tts whose insides the engines know


@dataclass(frozen=True)
class Need:
    """A requirement that is not met; `have` is the installed version, or None."""

    name: str
    requirement: str
    have: str | None


def installed() -> dict[str, str]:
    """The version of every installed distribution, by its normalised name."""
    versions: dict[str, str] = {}
    for distribution in metadata.distributions():
        name, version = distribution.metadata["Name"], distribution.metadata["Version"]
        if name and version:  # a broken folder of metadata lacks them
            # The first on the path is the one that is imported.
            versions.setdefault(normalised(name), version)
    return versions


def normalised(name: str) -> str:
    """`ruamel.yaml`, `ruamel_yaml` and `Ruamel-YAML` are one distribution."""
    return name.lower().replace("_", "-").replace(".", "-")


def requirements(extra: str = "") -> list[Any]:
    """The requirements of the package, or of one extra alone, on this machine, without markers."""
    selected = []
    for requirement in map(_requirement, metadata.requires(PACKAGE) or []):
        marker, requirement.marker = requirement.marker, None
        plain = marker is None or marker.evaluate({"extra": ""})
        if (marker and not plain and marker.evaluate({"extra": extra})) if extra else plain:
            selected.append(requirement)
    return selected


def needs(extra: str = "", *, without: Iterable[str] = ()) -> list[Need]:
    """The requirements of the package, or of one extra, that this environment does not meet."""
    here, skipped = installed(), {normalised(name) for name in without}
    unmet = []
    for requirement in requirements(extra):
        name = normalised(requirement.name)
        have = here.get(name)
        fits = have is not None and requirement.specifier.contains(have, prereleases=True)
        if not fits and name not in skipped:
            unmet.append(Need(name, str(requirement), have))
    return unmet


def install(
    specifiers: Iterable[str],
    *,
    replace: Iterable[str] = (),
    keep: Iterable[str] = (),
    deps: bool = True,
) -> None:
    """Let pip install requirements; of the installed distributions only `replace` may change.

    Their requirements may change too, unless they are in `keep`. Raises `UnavailableError` with
    pip's own reason and the version at fault.
    """
    specifiers = list(specifiers)
    if importlib.util.find_spec("pip") is None:
        raise UnavailableError(
            f"cannot install {', '.join(specifiers)}: {sys.executable} has no pip; run "
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
        command += ["--constraint", str(constraints), *specifiers]
        done = subprocess.run(command, capture_output=True, text=True)
    importlib.invalidate_caches()
    if done.returncode:
        raise UnavailableError(
            f"pip could not install {', '.join(specifiers)}: "
            f"{_reason(done.stdout, done.stderr)}; run the cell again, and if it fails "
            "again start a fresh runtime (Runtime > Disconnect and delete runtime)"
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
    reasons = [
        line.removeprefix("ERROR:").strip()
        for line in errors.splitlines()
        if line.startswith("ERROR:") and "ResolutionImpossible" not in line
    ]
    _, _, causes = output.partition("The conflict is caused by:\n")
    for cause in causes.partition("\n\n")[0].splitlines():
        cause = cause.strip().replace("The user requested (constraint)", "installed and kept:")
        reasons.append(cause.replace("The user requested", "asked for:"))
    last = [line.strip() for line in (errors or output).splitlines() if line.strip()][-3:]
    return "; ".join(reasons or last) or "it gave no reason"


def _requirement(line: str) -> Any:
    """Parse a requirement; `packaging` is in every environment with pip: itself, or inside pip."""
    for home in ("packaging", "pip._vendor.packaging"):
        with suppress(ImportError):
            return importlib.import_module(f"{home}.requirements").Requirement(line)
    raise UnavailableError(f"cannot read {line!r}: no packaging and no pip here; install pip")
