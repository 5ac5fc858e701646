"""The HTTP service: speech and conversion over HTTP, and a web page.

Only this room has `async` functions. A model runs in a thread of its own (`worker`).
"""
