"""Chatterbox: the fast path and upstream's own, reached through `engines.registry`."""
