"""Does the audio say the text? Witnesses that listen, cuts that heal, a verdict for a chunk."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "checker": ["Checker"],
        "cuts": ["without"],
        "findings": ["Expectation", "Finding", "Verdict"],
    },
)
