"""Text to chunks: files read, cleaned, cut into sentences, packed; no character is lost."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"chunking": ["Chunk", "split_chunks"]}
)
