"""The key of a run: a hash over everything that decides its result.

A batch makes a finished run again if its key is not the one that the same parameters give now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from chatter_nb.base.disk import add_samples
from chatter_nb.base.errors import InputError
from chatter_nb.base.hashing import digest
from chatter_nb.base.project import resolve_path
from chatter_nb.base.version import __version__, installed_version
from chatter_nb.engines.checkpoints import OWN_VOICE, cached, identity, locate
from chatter_nb.engines.registry import entry
from chatter_nb.engines.voices import library_of
from chatter_nb.params.base import RunKind
from chatter_nb.params.runs import AnyParams

_DIGEST_BYTES = 16
_WHOLE_BYTES = 1 << 26  # of larger files (recordings of hours) samples are taken


def code_digest(sources: Iterable[str]) -> str:
    """A hash over the sources of a notebook's code cells; its prose may change."""
    return digest(list(sources), size=_DIGEST_BYTES)


def run_key(code: str, params: AnyParams, engine: str, *, fetch: bool) -> str:
    """The key of a run. `code` is its notebook's `code_digest`, `engine` what `auto` stands for.

    Texts, recordings, voices and model files that the parameters name count by their content;
    `fetch` downloads missing model files. Raises `InputError` for a file that does not exist.
    """
    files = {"checkpoint", "engine"}  # of these the content counts
    values = {name: value for name, value in params.deciding().items() if name not in files}
    return digest(
        {
            "code": code,
            "params": values,
            "engine": engine,
            "content": _contents(params),
            "chatter_nb": __version__,
            "model": model_version(engine, params.checkpoint, params.kind, fetch=fetch),
        },
        size=_DIGEST_BYTES,
    )


def content_digest(params: AnyParams) -> str:
    """A short hash over the content of the files that parameters name; "" if they name none.

    Raises `InputError` for a file that does not exist.
    """
    contents = _contents(params)
    return digest(contents, size=3) if contents else ""


@lru_cache(maxsize=64)
def model_version(engine: str, checkpoint: str, kind: RunKind, *, fetch: bool) -> str:
    """The versions of the engine's packages and model files, as text, without loading them."""
    engine_entry = entry(engine, kind)
    versions = [f"{name} {installed_version(name) or '-'}" for name in engine_entry.packages]
    files = engine_entry.files
    if files and not engine_entry.missing():
        folder = locate(files, checkpoint) if fetch or checkpoint else cached(files)
        versions.append(identity(folder, files) if folder else "not here yet")
        engine_voice = folder / OWN_VOICE if folder else None
        if engine_voice and engine_voice.is_file():  # no part of the model's identity
            versions.append(_hash_of(engine_voice))
    return " ".join(versions)


def _contents(params: AnyParams) -> dict[str, Any]:
    """A hash over each file and folder that parameters name, by parameter."""
    source, voice = getattr(params, params.source_fields[-1]), getattr(params, params.voice_field)
    paths = {"source": resolve_path(source)} if source else {}
    if voice:
        with suppress(InputError):  # the engine's own voice; the plan refuses an unknown name
            paths[params.voice_field] = library_of(params).find(voice)
    named = {"narrator": getattr(params, "narrator", "")}
    for who, member in params.cast.items():
        named[f"cast {who}"] = member if isinstance(member, str) else member.voice
    for who, name in named.items():
        with suppress(InputError):  # as the voice above
            paths |= {who: library_of(params).find(name)} if name else {}
    asr_model = getattr(params, "asr_model", "")
    if asr_model and resolve_path(asr_model).is_dir():  # else a name
        paths["asr_model"] = resolve_path(asr_model)
    for name in ("edits", "cover", "labels"):
        if path := getattr(params, name, ""):
            paths[name] = resolve_path(path)
    lexicons = {f"lexicon {path}": resolve_path(path) for path in getattr(params, "lexicon", ())}
    paths |= {name: path for name, path in lexicons.items() if path.is_file()}  # as with voices
    return {name: _content(path) for name, path in paths.items()}


def _content(path: Path) -> Any:
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and file.name[0] != ".")
        return [[file.name, _hash_of(file)] for file in files]
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    return _hash_of(path)


def _hash_of(path: Path) -> str:
    status = path.stat()
    return _hash_at(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hash_at(path: Path, size: int, mtime_ns: int) -> str:
    content = hashlib.blake2b(str(size).encode(), digest_size=_DIGEST_BYTES)
    if size > _WHOLE_BYTES:
        add_samples(content, path)
    else:
        content.update(path.read_bytes())
    return content.hexdigest()
