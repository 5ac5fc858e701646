"""The models of this process: the only global state. Loaded once, under one lock.

Also the two choices that depend on the machine, each answered with its reason.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from chatter_nb.base.errors import EngineError, UnavailableError
from chatter_nb.base.project import resolve_path
from chatter_nb.engines import registry
from chatter_nb.engines.checkpoints import cached

_Place = tuple[str, str, str]  # device, checkpoint, precision
_models: dict[str, tuple[_Place, Any]] = {}  # by name; a converter's is "convert/…"
_shared: weakref.WeakValueDictionary[Hashable, Any] = weakref.WeakValueDictionary()
_idle: set[str] = set()  # loaded, and not asked for since `relinquish`
_lock = threading.RLock()

CONVERT = "convert/"  # before the names of converters: `chatterbox` both speaks and converts


@dataclass(frozen=True)
class Choice:
    """Something that was chosen, and why: shown at the top of a run and kept in run.json."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


def pick_device(device: str = "auto", *, engine: str = "", convert: bool = False) -> Choice:
    """The device to run models on. Raises `UnavailableError` for one that is not there."""
    if engine and registry.entry(engine, convert=convert).cpu_only:
        if device not in ("auto", "cpu"):
            raise UnavailableError(f"engine '{engine}' runs on the cpu only, not on '{device}'")
        return Choice("cpu", f"{engine} runs on the cpu")
    if device == "cpu":
        return Choice("cpu", "asked for")
    if find_spec("torch") is None:
        if device != "auto":
            raise UnavailableError(
                f"device '{device}' needs torch, which is not installed; use cpu"
            )
        return Choice("cpu", "torch is not installed")
    return _pick_torch_device(device)


def _pick_torch_device(device: str) -> Choice:
    import torch

    if torch.cuda.is_available():
        there = {"cuda": torch.cuda.get_device_name()}
        there |= {
            f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())
        }
    elif torch.backends.mps.is_available():
        there = {"mps": "Apple GPU"}
    else:
        there = {}
    if device == "auto":
        return Choice(*next(iter(there.items()))) if there else Choice("cpu", "no CUDA, no MPS")
    if device not in there:
        known = ", ".join([*there, "cpu"])
        raise UnavailableError(f"device '{device}' is not there; there is: {known}")
    return Choice(device, f"asked for: {there[device]}")


def pick_engine(engine: str = "auto", *, convert: bool = False, may_fetch: bool = True) -> Choice:
    """The engine that speaks or converts: the one asked for, or the best that can run here.

    Unless it `may_fetch`, one whose model is not on this machine is passed over.
    """
    if engine != "auto":
        registry.entry(engine, convert=convert)
        return Choice(engine, "asked for")
    passed_over: list[str] = []
    for name, entry in registry.entries(convert=convert).items():
        lacks = _lacks(entry, may_fetch)
        if not lacks:
            default = f"the embedded {'converter' if convert else 'voice'}"
            return Choice(
                name, "; ".join(["the best there is" if entry.needs_gpu else default, *passed_over])
            )
        passed_over.append(f"not {name}: {lacks}")
    raise UnavailableError("no engine can run here: " + "; ".join(passed_over))


def _lacks(entry: registry.EngineEntry, may_fetch: bool) -> str:
    if entry.missing():
        return entry.lacks()
    if entry.needs_gpu and pick_device().name == "cpu":
        return "no GPU"
    if entry.files and not may_fetch and cached(entry.files) is None:
        return f"its model is not on this machine; bring it with: chatter-nb fetch {entry.files}"
    return ""


def pick_precision(precision: str = "auto", device: str = "cpu") -> Choice:
    """Exact, or fast where the device is made for 16-bit numbers."""
    if precision != "auto":
        return Choice(precision, "asked for")
    if device.startswith("cuda"):
        import torch

        if torch.cuda.get_device_capability(device) >= (8, 0):
            return Choice("fast", "the GPU has bfloat16; other tokens than float32's, as good")
    return Choice("exact", "float32, upstream's tokens")


def get_or_load_tts_model(
    engine: str = "auto", device: str = "auto", checkpoint: str = "", precision: str = "auto"
) -> Any:
    """The speech engine, loaded on first use and kept for the life of the process.

    `checkpoint` is a folder of model files; without it they come from the hub's cache, or are
    fetched. `precision` "any" is that of the loaded one. Raises `EngineError` if it is loaded
    already for another device, checkpoint or precision: `unload` first.
    """
    return _get_or_load(engine, device, checkpoint, precision, convert=False)


def get_or_load_vc_model(engine: str = "auto", device: str = "auto", checkpoint: str = "") -> Any:
    """The voice-conversion engine, likewise; Chatterbox' shares the speech engine's S3Gen."""
    return _get_or_load(engine, device, checkpoint, "exact", convert=True)


def _get_or_load(
    engine: str, device: str, checkpoint: str, precision: str, *, convert: bool
) -> Any:
    name = pick_engine(engine, convert=convert).name
    place = pick_device(device, engine=name, convert=convert).name.removesuffix(":0")
    key = f"{CONVERT}{name}" if convert else name
    with _lock:
        if precision == "any":
            precision = _models[key][0][2] if key in _models else "exact"
        precision = pick_precision(precision, place).name
        where = (place, str(resolve_path(checkpoint)) if checkpoint else "", precision)
        if key not in _models or (key in _idle and _models[key][0] != where):
            _make_room()
            engine_class = registry.entry(name, convert=convert).engine_class()
            own = (
                {"precision": precision}
                if "precision" in getattr(engine_class, "takes", ())
                else {}
            )
            _models[key] = (where, engine_class(device=place, checkpoint=checkpoint, **own))
        held, model = _models[key]
        if held != where:
            raise EngineError(
                f"engine '{name}' is loaded on {_told(held)}, not {_told(where)}; "
                f"call unload('{key}') first"
            )
        _idle.discard(key)
        return model


def relinquish() -> None:
    """Say that nothing uses the models loaded so far: a warm kernel does, between two notebooks.

    They stay, to be used again. Loading one that is not there, or on another device, lets go of
    those not asked for since: a notebook finds room for its models, as in a kernel of its own.
    """
    with _lock:
        _idle.update(_models)


def _make_room() -> None:
    if _idle:
        _let_go(list(_idle))


def shared(key: Hashable, load: Callable[[], Any]) -> Any:
    """A part that several models use, in memory once, and for as long as one of them is."""
    with _lock:
        part = _shared.get(key)
        if part is None:
            part = _shared[key] = load()
        return part


def _told(where: _Place) -> str:
    device, checkpoint, precision = where
    told = f"{device} from {checkpoint}" if checkpoint else device
    return told if precision == "exact" else f"{told}, {precision}"


def loaded() -> dict[str, str]:
    """What is in memory: engine name → where."""
    with _lock:
        return {name: _told(where) for name, (where, _) in _models.items()}


def unload(name: str | None = None) -> list[str]:
    """Let go of one model, or of all, and give the memory back. Returns the names let go.

    A name lets go of the engine that speaks and of the one that converts.
    """
    with _lock:
        gone = [key for key in _models if name in (None, key, key.removeprefix(CONVERT))]
        _let_go(gone)
    return gone


def _let_go(keys: list[str]) -> None:
    for key in keys:
        _models.pop(key, None)
        _idle.discard(key)
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch is not None and torch.backends.mps.is_available():
        torch.mps.empty_cache()
    if sys.platform == "linux":
        _return_heap()


def _return_heap() -> None:
    """glibc keeps freed memory for itself unless it is asked; other libraries give it back."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def peak_gpu_mb() -> float | None:
    """The most GPU memory that tensors have held, in MB (10⁶ bytes); None without CUDA."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    return torch.cuda.max_memory_allocated() / 1e6
