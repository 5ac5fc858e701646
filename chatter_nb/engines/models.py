"""The models of this process, the only global state: each loaded once, under a lock.

It also chooses the engine, device and precision for this machine, and gives the reasons.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatter_nb.base.errors import EngineError, UnavailableError
from chatter_nb.base.project import resolve_path
from chatter_nb.engines import registry
from chatter_nb.engines.checkpoints import cached
from chatter_nb.engines.gpu import card_name, is_small_gpu, return_memory

if TYPE_CHECKING:
    from chatter_nb.params.base import RunKind

_Place = tuple[str, str, str]  # device, checkpoint, precision
_models: dict[str, tuple[_Place, Any]] = {}  # by `EngineEntry.key`
_shared: weakref.WeakValueDictionary[Hashable, Any] = weakref.WeakValueDictionary()
_idle: set[str] = set()  # loaded, and not asked for since `relinquish`
_lock = threading.RLock()
# In /dev: NVIDIA's driver, the same on its small boards, in Windows' Linux, and AMD's.
_GPU_FILES = ("nvidia*", "nvhost*", "nvmap", "dxg", "kfd")


@dataclass(frozen=True)
class Choice:
    """A choice and its reason: shown at the top of a run and kept in run.json."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


@dataclass(frozen=True)
class EngineChoice(Choice):
    """A chosen engine, with its entry in the registry."""

    entry: registry.EngineEntry


def pick_device(device: str = "auto", *, engine: str = "", kind: RunKind = "speak") -> Choice:
    """The device to run models on. Raises `UnavailableError` for a device that is not there."""
    return _device_for(registry.entry(engine, kind) if engine else None, device)


def _device_for(entry: registry.EngineEntry | None, device: str) -> Choice:
    if entry and entry.cpu_only:
        if device not in ("auto", "cpu"):
            raise UnavailableError(f"engine '{entry.name}' runs on the cpu only, not on '{device}'")
        return Choice("cpu", f"{entry.name} runs on the cpu")
    if device == "cpu":
        return Choice("cpu", "asked for")
    if find_spec("torch") is None:
        if device != "auto":
            raise UnavailableError(
                f"device '{device}' needs torch, which is not installed; use cpu"
            )
        return Choice("cpu", "torch is not installed")
    if device == "auto" and "torch" not in sys.modules and not has_gpu_driver():
        return Choice("cpu", "no CUDA, no MPS")  # seconds sooner than torch says so
    return _pick_torch_device(device)


def has_gpu_driver() -> bool:
    """Whether a GPU's driver may be here: learnt without torch, whose import takes seconds."""
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", "C:/Windows")) / "System32/nvcuda.dll").exists()
    if sys.platform == "darwin":
        return platform.machine() == "arm64"  # no torch for the others knows their GPU
    return any(any(Path("/dev").glob(pattern)) for pattern in _GPU_FILES)


def _pick_torch_device(device: str) -> Choice:
    import torch

    if torch.cuda.is_available():
        devices = ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        names = {name: card_name(name) for name in devices}
    elif torch.backends.mps.is_available():
        names = {"mps": "Apple GPU"}
    else:
        names = {}
    if device == "auto":
        return Choice(*next(iter(names.items()))) if names else Choice("cpu", "no CUDA, no MPS")
    if device not in names:
        known = ", ".join([*names, "cpu"])
        raise UnavailableError(f"device '{device}' is not there; there is: {known}")
    return Choice(device, f"asked for: {names[device]}")


def pick_engine(
    engine: str = "auto", kind: RunKind = "speak", *, may_fetch: bool = True
) -> EngineChoice:
    """The engine to speak or convert with: `engine`, or for "auto" the best that can run here.

    Unless it `may_fetch`, "auto" passes over engines whose model is not on this machine.
    """
    if engine != "auto":
        return EngineChoice(engine, "asked for", registry.entry(engine, kind))
    passed_over: list[str] = []
    for entry in registry.entries(kind).values():
        obstacle = _obstacle(entry, may_fetch)
        if not obstacle:
            default = f"the embedded {'converter' if kind == 'convert' else 'voice'}"
            why = "the best there is" if entry.needs_gpu else default
            return EngineChoice(entry.name, "; ".join([why, *passed_over]), entry)
        passed_over.append(f"not {entry.name}: {obstacle}")
    raise UnavailableError("no engine can run here: " + "; ".join(passed_over))


def _obstacle(entry: registry.EngineEntry, may_fetch: bool) -> str:
    if entry.missing():
        return entry.lacks()
    if entry.needs_gpu and pick_device().name == "cpu":
        return "no GPU"
    if entry.files and not may_fetch and cached(entry.files) is None:
        return f"its model is not on this machine; bring it with: chatter-nb fetch {entry.files}"
    return ""


def pick_precision(precision: str = "auto", device: str = "cpu") -> Choice:
    """The precision: for "auto" fast on a GPU made for 16-bit numbers or a small one, else exact.

    Raises `UnavailableError` for int8 on another device than the CPU.
    """
    if precision == "int8":
        if device != "cpu":
            raise UnavailableError(
                f"precision 'int8' is for the cpu only, not for '{device}': choose auto, exact or "
                "fast, or device: cpu"
            )
        return Choice("int8", "asked for: T3 in 8 bits; other tokens than float32's")
    if precision != "auto":
        return Choice(precision, "asked for")
    if device.startswith("cuda"):
        import torch

        if torch.cuda.get_device_capability(device) >= (8, 0):
            return Choice("fast", "the GPU has bfloat16; other tokens than float32's, as good")
        if is_small_gpu(device):
            return Choice("fast", "the GPU has 4 GB or less; other tokens than float32's")
    return Choice("exact", "float32, upstream's tokens")


@dataclass(frozen=True)
class Settled:
    """An engine on its device, ready for `load`; each choice has its reason.

    With `any_precision` a loaded model is taken whatever its precision: the run uses a path of the
    engine that computes exactly with either.
    """

    engine: EngineChoice
    device: Choice
    precision: Choice
    checkpoint: str
    any_precision: bool = False

    @property
    def checkpoint_folder(self) -> str:
        return str(resolve_path(self.checkpoint)) if self.checkpoint else ""


def settle(
    engine: EngineChoice, device: str = "auto", checkpoint: str = "", precision: str = "auto"
) -> Settled:
    """Settle where and how an engine runs. Raises `UnavailableError` for a missing device."""
    place = _device_for(engine.entry, device)
    either = precision == "any"
    exact = either or "precision" not in engine.entry.accepts
    chosen = pick_precision("exact" if exact else precision, place.name)
    return Settled(engine, place, chosen, checkpoint, either)


def get_or_load_tts_model(
    engine: str = "auto", device: str = "auto", checkpoint: str = "", precision: str = "auto"
) -> Any:
    """The speech engine, loaded on first use and kept for the life of the process.

    `checkpoint` is a folder of model files; if it is empty, they come from the hub's cache or are
    downloaded. `precision` "any" accepts a loaded model of either precision. Raises `EngineError`
    if the engine is already loaded for another device, checkpoint or precision: `unload` first.
    """
    return load(settle(pick_engine(engine), device, checkpoint, precision))


def get_or_load_vc_model(engine: str = "auto", device: str = "auto", checkpoint: str = "") -> Any:
    """The conversion engine, likewise; Chatterbox shares S3Gen with its speech engine."""
    return load(settle(pick_engine(engine, "convert"), device, checkpoint))


def load(settled: Settled) -> Any:
    """The engine of `settled`: loaded on first use and kept for the life of the process.

    Raises `EngineError` if it is already loaded for another device, checkpoint or precision.
    """
    entry, precision = settled.engine.entry, settled.precision.name
    with _lock:
        if settled.any_precision and entry.key in _models:
            precision = _models[entry.key][0][2]
        where = (settled.device.name.removesuffix(":0"), settled.checkpoint_folder, precision)
        if entry.key not in _models or (entry.key in _idle and _models[entry.key][0] != where):
            if _idle:
                _let_go(list(_idle))
            options = {"precision": precision} if "precision" in entry.accepts else {}
            engine_class = entry.engine_class()
            model = engine_class(device=where[0], checkpoint=settled.checkpoint, **options)
            _models[entry.key] = (where, model)
        held, model = _models[entry.key]
        if held != where:
            raise EngineError(
                f"engine '{entry.name}' is loaded on {_place_text(held)}, "
                f"not {_place_text(where)}; call unload('{entry.key}') first"
            )
        _idle.discard(entry.key)
        return model


def relinquish() -> None:
    """Declare that nothing uses the models in memory; a warm kernel calls it between notebooks.

    The models stay, to be used again. The next load of another model, or on another device, lets
    go of each model that nobody has loaded since: the notebook finds as much room as in a kernel
    of its own.
    """
    with _lock:
        _idle.update(_models)


def shared(key: Hashable, load: Callable[[], Any]) -> Any:
    """A part that several models share: `load` makes it once; it stays while a model uses it."""
    with _lock:
        part = _shared.get(key)
        if part is None:
            part = _shared[key] = load()
        return part


def _place_text(place: _Place) -> str:
    device, checkpoint, precision = place
    text = f"{device} from {checkpoint}" if checkpoint else device
    return text if precision == "exact" else f"{text}, {precision}"


def loaded() -> dict[str, str]:
    """The engines in memory: name → device, checkpoint and precision."""
    with _lock:
        return {name: _place_text(where) for name, (where, _) in _models.items()}


def unload(name: str | None = None) -> list[str]:
    """Let go of a model, or of all without a name, and give the memory back. Returns the names.

    A name stands for the engine that speaks and for the engine that converts.
    """
    with _lock:
        gone = [key for key in _models if name in (None, key, key.removeprefix("convert/"))]
        _let_go(gone)
    return gone


def _let_go(keys: list[str]) -> None:
    for key in keys:
        _models.pop(key, None)
        _idle.discard(key)
    return_memory()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)  # glibc keeps freed memory until it is asked for it; other C libraries do not
