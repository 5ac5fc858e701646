"""One run, speech or conversion: settled, planned, made, joined, recorded, resumed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "speak": ["estimate", "generate_tts", "plan_speech", "process_one_chunk", "render_speech"],
        "convert": ["convert_voice", "plan_conversion", "render_conversion"],
        "speech": ["Speech", "load_speech"],
    },
)
