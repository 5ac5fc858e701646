"""What a blind test must not give away: the other outputs are a sentence until it is answered.

Whoever runs all cells would else see letters, lengths and names around the test.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from chatter_nb.base.errors import InputError
from chatter_nb.base.wording import count
from chatter_nb.notebook.compare.preferences import Preferences

if TYPE_CHECKING:
    from chatter_nb.notebook.compare.compared import Comparison

P = ParamSpec("P")


def veil(comparison: Comparison) -> str:
    """What to say in place of a result; nothing where a person may see it.

    Only a person who listens blind and has not yet answered everything is kept from it.
    """
    params = comparison.params
    if not (params.blind and params.interactive):
        return ""
    try:
        waiting = len(Preferences(comparison, params).waiting)
    except InputError:  # the test itself says what is wrong with its file
        return "After the blind test: run this cell again."
    if not waiting:
        return ""
    return f"After the blind test: run this cell again ({count(waiting, 'pair')} to hear)."


def veiled(draw: Callable[Concatenate[Comparison, P], Any]) -> Callable[..., Any]:
    """`draw`, but a sentence as long as a blind test of its comparison waits for answers."""

    @wraps(draw)
    def drawn(comparison: Comparison, *args: P.args, **kwargs: P.kwargs) -> Any:
        from IPython.display import HTML

        told = veil(comparison)
        return HTML(f"<p>{html.escape(told)}</p>") if told else draw(comparison, *args, **kwargs)

    return drawn
