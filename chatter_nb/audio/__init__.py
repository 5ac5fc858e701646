"""Samples to files: read, checked, trimmed, crossfaded, joined as they come, encoded."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["join"], submod_attrs={"reading": ["read_audio"]}
)
