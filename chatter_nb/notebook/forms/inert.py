"""What stands for a form in a headless run: a table of what was set, without a widget."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from chatter_nb.notebook.gallery.differing import told
from chatter_nb.params.base import RunParams
from chatter_nb.params.fields import COMMON, Field, fields_of

if TYPE_CHECKING:
    from IPython.display import HTML


def settings_table(params: RunParams) -> HTML:
    """The parameters that are most often changed, and all others that are not at their default."""
    from IPython.display import HTML

    fields = fields_of(type(params))
    values = params.model_dump(mode="json")
    common = COMMON[type(params)]
    shown = [
        field
        for field in fields.values()
        if field.name in common or values[field.name] != field.default
    ]
    rows = "".join(_row(field, told(values[field.name])) for field in shown)
    return HTML(
        "<p>Run this notebook by hand, with <code>interactive = True</code>, and a form stands "
        f"here.</p><table><tbody>{rows}</tbody></table>"
    )


def _row(field: Field, value: str) -> str:
    unit = f" ({field.unit})" if field.unit else ""
    shown = value if len(value) <= 200 else f"{value[:200]}…"
    cells = (f"{field.label}{unit}", shown, field.help)
    left = "text-align:left"
    return "<tr>" + "".join(f'<td style="{left}">{html.escape(c)}</td>' for c in cells) + "</tr>"
