"""Forms under a person's hands: the same parameters as everywhere, in ipywidgets 7.7 and 8.

`speak_form` and `convert_form` end the notebooks. They call the same synchronous functions as a
headless run, in one worker thread, so that Cancel can be pressed. In a headless run
(`interactive: false`) they are a table of what was set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chatter_nb.params.runs import ConvertParams, SpeakParams
    from chatter_nb.runs.speech import Speech

__all__ = ["convert_form", "speak_form"]


def speak_form(params: SpeakParams, speech: Speech | None = None) -> Any:
    """A form to speak with, seeded from `params`; `speech`, if given, is its first take."""
    if not params.interactive:
        from chatter_nb.notebook.forms.inert import settings_table

        return settings_table(params)
    from chatter_nb.notebook.forms.speaking import SpeakForm

    return SpeakForm(params, speech)


def convert_form(params: ConvertParams, speech: Speech | None = None) -> Any:
    """A form to convert with, likewise."""
    if not params.interactive:
        from chatter_nb.notebook.forms.inert import settings_table

        return settings_table(params)
    from chatter_nb.notebook.forms.converting import ConvertForm

    return ConvertForm(params, speech)
