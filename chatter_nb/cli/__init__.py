"""The command line: `chatter-nb …`; each command is one call and what it says."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"app": ["main"]})
