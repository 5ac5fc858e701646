"""Chatterbox in notebooks: text to speech and voice conversion as parameterised Jupyter notebooks.

    import chatter_nb as cn
    speech = cn.generate_tts(cn.SpeakParams(text="Hello there."))

Names load on first use, so that importing the package costs milliseconds and neither torch nor
matplotlib.
"""

import sys

import lazy_loader

_PUBLIC = {
    "base.version": ["__version__"],
    "base.errors": ["ChatterError"],
    "base.project": ["project_root"],
    "base.timing": ["Stopwatch"],
    "params.runs": ["ConvertParams", "SpeakParams"],
    "text.chunking": ["Chunk"],
    "audio.reading": ["read_audio"],
    "engines.models": [
        "get_or_load_tts_model",
        "get_or_load_vc_model",
        "loaded",
        "pick_device",
        "pick_engine",
        "unload",
    ],
    "runs.speak": ["estimate", "generate_tts", "plan_speech", "process_one_chunk", "render_speech"],
    "runs.convert": ["convert_voice", "plan_conversion", "render_conversion"],
    "runs.speech": ["Speech", "load_speech"],
    "batch": ["warm"],
    "batch.params": ["BatchParams"],
    "batch.run": ["plan_batch", "run_batch"],
    "notebook": ["forms", "show"],
    "pages.gallery.page": ["write_gallery"],
    "notebook.compare.compared": ["CompareParams"],
    "notebook.compare.comparison": ["load_comparison"],
    "bench.params": ["TimingParams"],
    "setup": ["colab"],
}

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs=_PUBLIC)


def __warm_reset__() -> None:
    """Called by the warm kernel between two notebooks: loaded models stay, and may be replaced."""
    if models := sys.modules.get(f"{__name__}.engines.models"):
        models.relinquish()
