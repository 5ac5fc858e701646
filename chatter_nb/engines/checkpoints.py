"""The files of each model: in a folder, in the hub's cache, or downloaded from the hub.

Not here: what the files hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from chatter_nb.base.disk import add_samples, read_json
from chatter_nb.base.errors import InputError, UnavailableError
from chatter_nb.base.project import resolve_path

PACKAGE = "chatterbox-tts"
_REPO = "ResembleAI/chatterbox"
MEANFLOW_FILE = "s3gen_meanflow.safetensors"  # Turbo's; the others can use it too
_SIDECAR = "chatter_nb.json"  # see `architecture.Sidecar`
OWN_VOICE = "conds.pt"  # its content hash is the voice's


@dataclass(frozen=True)
class ModelFiles:
    """The hub's repository of a model, and the names of its needed and optional files.

    `borrowed` files belong to another model: a user can put them among this model's files.
    """

    repo: str
    needed: tuple[str, ...]
    optional: tuple[str, ...] = (OWN_VOICE,)
    borrowed: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return self.needed + self.optional


MODELS = {
    "chatterbox": ModelFiles(
        _REPO,
        ("ve.safetensors", "t3_cfg.safetensors", "s3gen.safetensors", "tokenizer.json"),
        borrowed=(MEANFLOW_FILE,),
    ),
    "chatterbox-multilingual": ModelFiles(
        _REPO,
        ("ve.pt", "t3_mtl23ls_v2.safetensors", "s3gen.pt", "grapheme_mtl_merged_expanded_v1.json"),
        (OWN_VOICE, "Cangjie5_TC.json"),
        (MEANFLOW_FILE,),
    ),
    "chatterbox-turbo": ModelFiles(
        "ResembleAI/chatterbox-turbo",
        (
            "ve.safetensors",
            "t3_turbo_v1.safetensors",
            MEANFLOW_FILE,
            "vocab.json",
            "merges.txt",
            "tokenizer_config.json",
        ),
        (OWN_VOICE, "added_tokens.json", "special_tokens_map.json", "tokenizer.json"),
    ),
    "chatterbox-vc": ModelFiles(_REPO, ("s3gen.safetensors",)),
}


def locate(model: str, checkpoint: str = "") -> Path:
    """The folder with a model's files: `checkpoint`, else the hub's cache; downloads if needed.

    Raises `InputError` that lists the missing files and says where to put them.
    """
    if not checkpoint:
        return cached(model) or fetch(model)
    folder = resolve_path(checkpoint)
    if not folder.is_dir():
        raise InputError(f"checkpoint '{checkpoint}' is not a folder; give one that holds {model}")
    missing = _missing(model, folder)
    if missing:
        raise InputError(
            f"checkpoint {folder} lacks {', '.join(missing)} of {model}: put them there "
            f"(they are in {MODELS[model].repo} on the Hugging Face hub){_random_hint(folder)}"
        )
    return folder


def check_meanflow(folder: Path) -> None:
    """Raise `InputError`, with the cure, if Turbo's decoder is not among a model's files."""
    if not (folder / MEANFLOW_FILE).is_file():
        raise InputError(
            f"meanflow needs {folder / MEANFLOW_FILE}: put it there (it is one of "
            "chatterbox-turbo's: chatter-nb fetch chatterbox-turbo), or leave meanflow out"
        )


def cached(model: str) -> Path | None:
    """The hub cache's folder of a model, or None if a needed file is missing. Uses no network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(MODELS[model].repo, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return None if _missing(model, folder) else folder


def fetch(model: str) -> Path:
    """Download a model's files into the hub's cache, with progress. Returns their folder.

    A file appears there under its name only when it is whole, and is not downloaded again. Raises
    `UnavailableError` without a network; it names the missing files and their place.
    """
    if model not in MODELS:
        raise InputError(f"no model '{model}'; there are: {', '.join(MODELS)}")
    if find_spec("huggingface_hub") is None:
        raise UnavailableError(
            "huggingface_hub is not installed, which fetches models; it comes with: make chatterbox"
        )
    from huggingface_hub import snapshot_download

    files = MODELS[model]
    try:
        folder = Path(snapshot_download(files.repo, allow_patterns=list(files.names)))
    except Exception as error:  # the hub's client raises its own, its HTTP library's and OSError
        first_line, *_ = str(error).strip().splitlines() or [""]  # of up to 200
        reason = f"{type(error).__name__}: {first_line}"
        raise _cannot_fetch(model, files.needed, reason) from None
    if missing := _missing(model, folder):  # offline the client returns what it has
        raise _cannot_fetch(model, missing, f"{files.repo} did not give them")
    return folder


def _cannot_fetch(model: str, missing: Sequence[str], reason: str) -> UnavailableError:
    from huggingface_hub import constants

    return UnavailableError(
        f"{model} is not on this machine and cannot be fetched ({reason}).\n"
        f"Missing: {', '.join(missing)}\n"
        f"With a network: chatter-nb fetch {model} (from {MODELS[model].repo}). Without one: copy "
        "the files into a folder and set checkpoint to it, or copy the whole cache of a machine "
        f"that has them to {constants.HF_HUB_CACHE}. Or choose the embedded engine: it needs no "
        "files"
    )


def identity(folder: Path, model: str) -> str:
    """A short hash of the content of a model's files, without its own voice.

    For a large file it hashes the size and 256 evenly spaced pieces of 64 kB: reading gigabytes
    whole would take longer than loading them.
    """
    digest = hashlib.blake2b(digest_size=6)
    for name in MODELS[model].names + MODELS[model].borrowed:
        path = folder / name
        if path.exists() and name != OWN_VOICE:
            digest.update(f"{name} {path.stat().st_size} ".encode())
            add_samples(digest, path)
    return digest.hexdigest()


def _missing(model: str, folder: Path) -> list[str]:
    return [name for name in MODELS[model].needed if not (folder / name).is_file()]


def is_random(folder: Path) -> bool:
    """Whether a folder's weights are random numbers, for tests and benchmarks: it says so."""
    about = read_json(folder / _SIDECAR)
    return isinstance(about, dict) and bool(about.get("random", True))


def _random_hint(folder: Path) -> str:
    try:
        model = read_json(folder / _SIDECAR)["model"]
    except (KeyError, TypeError):
        return ""
    return f". The folder holds a random {model}: choose that engine, or make one with --model"
