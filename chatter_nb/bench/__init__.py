"""How fast the work is, beside upstream's calls and over time; and is it slower."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"params": ["TimingParams"]}
)
