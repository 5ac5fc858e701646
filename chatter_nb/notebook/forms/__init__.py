"""Forms in a notebook: controls for the parameters of a run, in ipywidgets 7.7 and 8.

`speak_form` and `convert_form` call the same synchronous functions as a headless run, in a worker
thread: a person can press Cancel. In a headless run (`interactive: false`) they return a table of
the parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.display import HTML

    from chatter_nb.params.base import RunParams
    from chatter_nb.params.runs import ConvertParams, SpeakParams
    from chatter_nb.runs.speech import Speech

__all__ = ["convert_form", "speak_form"]

MAX_VALUE = 200  # characters


def speak_form(params: SpeakParams, speech: Speech | None = None) -> Any:
    """Return a form that speaks, filled in from `params`; `speech`, if given, is its first take."""
    if not params.interactive:
        return settings_table(params)
    from chatter_nb.notebook.forms.kinds import SpeakForm

    return SpeakForm(params, speech)


def convert_form(params: ConvertParams, speech: Speech | None = None) -> Any:
    """Return a form that converts, filled in from `params`; `speech` is its first take."""
    if not params.interactive:
        return settings_table(params)
    from chatter_nb.notebook.forms.kinds import ConvertForm

    return ConvertForm(params, speech)


def settings_table(params: RunParams) -> HTML:
    """Return a table in place of a form: the common parameters, and others not at their default."""
    import html

    from chatter_nb.base.errors import shorten
    from chatter_nb.pages.gallery.differing import in_words
    from chatter_nb.pages.players import page, table
    from chatter_nb.params.fields import COMMON, fields_of

    values = params.model_dump(mode="json")
    common = COMMON[type(params)]
    rows = []
    for name, field in fields_of(type(params)).items():
        if name in common or values[name] != field.default:
            shown = shorten(in_words(values[name]), MAX_VALUE)
            unit = f" ({field.unit})" if field.unit else ""
            rows.append([html.escape(cell) for cell in (f"{field.label}{unit}", shown, field.help)])
    return page(
        "<p>Run this notebook by hand, with <code>interactive = True</code>, and a form stands "
        f"here.</p>{table((), rows)}"
    )
