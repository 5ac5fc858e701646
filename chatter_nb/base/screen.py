"""Whether a person sits before this machine, and a page opened for them."""

from __future__ import annotations

import os
import sys
import webbrowser

_NO_SCREEN = ("CI", "SSH_CONNECTION", "SSH_TTY")
_SCREEN = ("DISPLAY", "WAYLAND_DISPLAY")


def open_in_browser(url: str) -> None:
    """Open a page where a person sees it; elsewhere do nothing: its address is printed anyway."""
    if has_screen():
        webbrowser.open(url)


def has_screen() -> bool:
    """Whether a person sits before this machine: there is a display, no SSH, no CI."""
    if any(os.environ.get(name) for name in _NO_SCREEN):
        return False
    return sys.platform in ("win32", "darwin") or any(map(os.environ.get, _SCREEN))
