"""The HTTP service: thin over speak and convert, whose calls stay synchronous.

Here alone are handlers `async`; what speaks is one thread a model (`worker`).
"""
