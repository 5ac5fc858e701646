"""The gallery: a page to listen through a folder of runs, compare them, and see what failed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"page": ["write_gallery"]}
)
