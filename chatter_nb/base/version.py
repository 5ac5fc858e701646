"""The version of this package, and of any other that is installed."""

from __future__ import annotations

from importlib import metadata

__version__ = "0.1.0"


def installed_version(package: str) -> str | None:
    """The version of an installed package; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
