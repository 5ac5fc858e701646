"""Output for people, in a notebook or on a page: players, plots, forms, gallery, comparison."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["show", "forms"])
