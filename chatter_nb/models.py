"""The models of this process: the only global state. Loaded once, under one lock.

Also the two choices that depend on the machine, each answered with its reason.
"""

from __future__ import annotations

import gc
import sys
import threading
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from chatter_nb.engines import base
from chatter_nb.errors import EngineError, UnavailableError

_models: dict[str, tuple[tuple[str, str], Any]] = {}  # engine name: ((device, checkpoint), engine)
_lock = threading.RLock()


@dataclass(frozen=True)
class Choice:
    """Something that was chosen, and why: shown at the top of a run and kept in run.json."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.reason})"


def pick_device(device: str = "auto", *, engine: str = "") -> Choice:
    """The device to run models on. Raises `UnavailableError` for one that is not there."""
    if engine and base.tts_entry(engine).cpu_only:
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


def pick_engine(engine: str = "auto") -> Choice:
    """The engine that speaks: the one asked for, or the best whose needs this machine meets."""
    if engine != "auto":
        base.tts_entry(engine)
        return Choice(engine, "asked for")
    passed_over = [f"not {name}: not part of this version" for name in base.absent_engines()]
    for name, entry in base.TTS_ENGINES.items():
        lacks = _lacks(entry)
        if not lacks:
            default = "the embedded voice" if name == "hibari" else "the best present"
            return Choice(name, "; ".join([default, *passed_over]))
        passed_over.append(f"not {name}: {lacks}")
    raise UnavailableError("no engine can speak here: " + "; ".join(passed_over))


def _lacks(entry: base.EngineEntry) -> str:
    if entry.missing():
        return f"{', '.join(entry.missing())} is not installed"
    if entry.needs_gpu and pick_device().name == "cpu":
        return "no GPU"
    return ""


def get_or_load_tts_model(engine: str = "auto", device: str = "auto", checkpoint: str = "") -> Any:
    """The speech engine, loaded on first use and kept for the life of the process.

    Raises `EngineError` if it is loaded already for another device or checkpoint: `unload` first.
    """
    name = pick_engine(engine).name
    where = (pick_device(device, engine=name).name, checkpoint)
    with _lock:
        if name not in _models:
            model = base.tts_entry(name).engine_class()(device=where[0], checkpoint=checkpoint)
            _models[name] = (where, model)
        held, model = _models[name]
        if held != where:
            raise EngineError(
                f"engine '{name}' is loaded on {_place(held)}, not {_place(where)}; "
                f"call unload('{name}') first"
            )
        return model


def _place(where: tuple[str, str]) -> str:
    return f"{where[0]} from {where[1]}" if where[1] else where[0]


def loaded() -> dict[str, str]:
    """What is in memory: engine name → where."""
    with _lock:
        return {name: _place(where) for name, (where, _) in _models.items()}


def unload(name: str | None = None) -> list[str]:
    """Let go of one model, or of all, and give the memory back. Returns the names let go."""
    with _lock:
        gone = [key for key in _models if name in (None, key)]
        for key in gone:
            del _models[key]
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    return gone
