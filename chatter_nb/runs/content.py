"""What a batch knows a run by: a hash of all that decides what it makes.

A finished run whose key is no longer what the same parameters would give now is made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from chatter_nb.base.disk import add_samples
from chatter_nb.base.errors import InputError
from chatter_nb.base.hashing import digest
from chatter_nb.base.project import resolve_path
from chatter_nb.base.version import __version__
from chatter_nb.engines.checkpoints import OWN_VOICE, cached, identity, locate
from chatter_nb.engines.registry import entry
from chatter_nb.params.base import NOT_DIGESTED
from chatter_nb.params.runs import AnyParams, ConvertParams
from chatter_nb.runs.settle import library_of

_DIGEST_BYTES = 16
_WHOLE_BYTES = 1 << 26  # of larger files (recordings of hours) samples are taken


def code_digest(sources: Iterable[str]) -> str:
    """Of a notebook's code cells: prose may change without making a run again."""
    return digest(list(sources), size=_DIGEST_BYTES)


def run_key(code: str, params: AnyParams, engine: str, *, fetch: bool) -> str:
    """The key of a run; `engine` is what its `auto` stands for.

    What the parameters name counts by its content: texts, recordings, voices, model files (`fetch`
    downloads those if need be). Raises `InputError` for what is not there.
    """
    values = params.model_dump(mode="json", exclude=NOT_DIGESTED | {"checkpoint", "engine"})
    convert = isinstance(params, ConvertParams)
    return digest(
        {
            "code": code,
            "params": values,
            "engine": engine,
            "content": _contents(params),
            "chatter_nb": __version__,
            "model": model_version(engine, params.checkpoint, convert=convert, fetch=fetch),
        },
        size=_DIGEST_BYTES,
    )


def content_digest(params: AnyParams) -> str:
    """A short hash of what the files hold that parameters name; empty where they name none.

    Raises `InputError` where one is not there.
    """
    contents = _contents(params)
    return digest(contents, size=3) if contents else ""


@lru_cache(maxsize=64)
def model_version(engine: str, checkpoint: str, *, convert: bool, fetch: bool) -> str:
    """The engine's package and its model's files, without loading either."""
    found = entry(engine, convert=convert)
    told = [_version(package) for package in found.packages]
    if found.files and not found.missing():
        folder = locate(found.files, checkpoint) if fetch or checkpoint else cached(found.files)
        told.append(identity(folder, found.files) if folder else "not here yet")
        own_voice = folder / OWN_VOICE if folder else None
        if own_voice and own_voice.is_file():  # no part of the model's identity
            told.append(_hash_of(own_voice))
    return " ".join(told)


def _version(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"{package} -"


def _named(params: AnyParams) -> list[tuple[str, Path]]:
    """The files and folders that parameters name, by parameter."""
    if isinstance(params, ConvertParams):
        texts, voice = params.source, ("target", params.target)
    else:
        texts, voice = params.text_file, ("voice", params.voice)
    named = [("source", resolve_path(texts))] if texts else []
    if voice[1]:
        with suppress(InputError):  # an engine's own voice; any other is found wanting later
            named.append((voice[0], library_of(params).find(voice[1])))
    return named


def _contents(params: AnyParams) -> dict[str, Any]:
    return {name: _content(path) for name, path in _named(params)}


def _content(path: Path) -> Any:
    if path.is_dir():
        inside = sorted(one for one in path.iterdir() if one.is_file() and one.name[0] != ".")
        return [[one.name, _hash_of(one)] for one in inside]
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    return _hash_of(path)


def _hash_of(path: Path) -> str:
    about = path.stat()
    return _hash_at(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hash_at(path: Path, size: int, mtime_ns: int) -> str:
    found = hashlib.blake2b(str(size).encode(), digest_size=_DIGEST_BYTES)
    if size > _WHOLE_BYTES:
        add_samples(found, path)
    else:
        found.update(path.read_bytes())
    return found.hexdigest()
