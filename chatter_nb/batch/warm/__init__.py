"""The Papermill engine `chatter-warm`: many notebooks in one kernel. It imports no other room."""

from typing import Any

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "engine": ["WarmEngine"],
        "runner": ["Status", "clear_interrupt", "interrupt", "is_nested", "shutdown", "status"],
    },
)


def __getattr__(name: str) -> Any:
    if name == "WarmEngine":
        # Papermill loads this class during its own import, which therefore has to come first.
        import papermill.engines  # noqa: F401
    return _load(name)
