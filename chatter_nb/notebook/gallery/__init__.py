"""The page of a folder of runs: listen through them, compare, find what failed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"page": ["write_gallery"]},
)
