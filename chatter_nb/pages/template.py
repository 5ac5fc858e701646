"""Renders a static page: a template of `assets/`, its style and its script, in one HTML file.

A template that extends `page.html` has its head, and with `page.css` the look of all pages.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from chatter_nb.pages.players import asset, player_script

MAX_WORDS = 140  # characters of a text or reason; a longer one is folded


def render(
    template: str,
    *,
    style: str,
    script: str = "",
    with_players: bool = False,
    saves: bool = False,
    **values: Any,
) -> str:
    """Return the HTML of a page. The values are escaped; `style` and `script` are our own text.

    The template puts `csp` into its Content-Security-Policy: the page then runs this style and
    this script only, even if escaping should ever fail, and opens no connection. `with_players`
    allows the script and the styles of `waveform_player`; `saves` a connection to the server that
    the page came from.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    jinja = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(asset),
    )
    scripts, styles = _source(script), _source(style)
    if with_players:
        sources = [_source(text) for text in (script, player_script()) if text]
        scripts, styles = " ".join(["'unsafe-hashes'", *sources]), "'unsafe-inline'"
    server = "'self'" if saves else "'none'"
    # Audio may lie beside the page: `media-src` has no word for that on pages without a server.
    csp = (
        f"script-src {scripts}; style-src {styles}; connect-src {server}; "
        "font-src 'none'; frame-src 'none'; object-src 'none'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
    return jinja.get_template(template).render(
        style=Markup(style),
        script=Markup(script),
        csp=Markup(csp),
        beginning=beginning,
        max_words=MAX_WORDS,
        **values,
    )


def beginning(text: str) -> str:
    """Return the visible beginning of a folded text: whole words, up to `MAX_WORDS` characters."""
    words = text[: MAX_WORDS + 1].rsplit(maxsplit=1)
    return words[0] if len(words) == 2 else text[:MAX_WORDS]


def _source(text: str) -> str:
    """Return what a policy allows for this text: its hash; for "", nothing."""
    if not text:
        return "'none'"
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
