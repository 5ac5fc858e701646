"""The engines that make sound, and the models that this process has loaded."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["voices", "models"],
    submod_attrs={
        "models": [
            "get_or_load_tts_model",
            "get_or_load_vc_model",
            "loaded",
            "pick_device",
            "pick_engine",
            "unload",
        ]
    },
)
