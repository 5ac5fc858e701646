"""Renders a static page: a template of `assets/`, its style and its script, in one HTML file."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from chatter_nb.pages.players import asset


def render(template: str, *, style: str, script: str = "", **values: Any) -> str:
    """Return the HTML of a page. The values are escaped; `style` and `script` are our own text.

    The template puts `csp` into its Content-Security-Policy: the page then runs this style and
    this script only, even if escaping should ever fail, and opens no connection.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    jinja = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # Audio may lie beside the page: `media-src` has no word for that on pages without a server.
    csp = (
        f"script-src {_source(script)}; style-src {_source(style)}; connect-src 'none'; "
        "font-src 'none'; frame-src 'none'; object-src 'none'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    return jinja.from_string(asset(template)).render(
        style=Markup(style), script=Markup(script), csp=Markup(csp), **values
    )


def _source(text: str) -> str:
    """Return what a policy allows for this text: its hash; for "", nothing."""
    if not text:
        return "'none'"
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
