"""The parameters of a run: one frozen object for YAML, notebook cell, form, HTTP and record."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"runs": ["ConvertParams", "SpeakParams"]}
)
