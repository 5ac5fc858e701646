"""Chatterbox in notebooks: text to speech and voice conversion as parameterised Jupyter notebooks.

    import chatter_nb as cn
    speech = cn.generate_tts(cn.SpeakParams(text="Hello there."))

Names load on first use, so that importing the package costs milliseconds and neither torch nor
matplotlib.
"""

import sys
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "ChatterError": "errors",
    "SpeakParams": "params",
    "ConvertParams": "params",
    "project_root": "project",
    "Chunk": "text",
    "read_audio": "audio",
    "Stopwatch": "timing",
    "get_or_load_tts_model": "models",
    "get_or_load_vc_model": "models",
    "unload": "models",
    "loaded": "models",
    "pick_device": "models",
    "pick_engine": "models",
    "Speech": "speech",
    "generate_tts": "speak",
    "process_one_chunk": "speak",
    "estimate": "speak",
    "plan_speech": "speak",
    "render_speech": "speak",
    "load_speech": "speech",
    "BatchParams": "batchparams",
    "TimingParams": "measuring.params",
    "CompareParams": "comparing.params",
    "load_comparison": "comparing.comparison",
    "plan_batch": "batch",
    "run_batch": "batch",
    "write_gallery": "gallery",
    "convert_voice": "convert",
    "plan_conversion": "convert",
    "render_conversion": "convert",
}
_MODULES = (
    "audio",
    "batch",
    "bench",
    "convert",
    "forms",
    "join",
    "models",
    "params",
    "show",
    "speak",
    "text",
    "timing",
    "voices",
)

__all__ = [*_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __warm_reset__() -> None:
    """Called by the warm kernel between two notebooks: loaded models stay, and may be replaced."""
    if models := sys.modules.get(f"{__name__}.models"):
        models.relinquish()
