"""How widgets of a form stand: in rows, shown or hidden, with a tooltip."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets


class Shared:
    """Layouts and styles that widgets of one form have in common: the browser makes each once."""

    def __init__(self) -> None:
        self._made: dict[Any, Any] = {}

    def layout(self, **values: str) -> Any:
        """Return the layout with these values. A widget that is hidden needs one of its own."""
        return self._one_of(widgets.Layout, values)

    def style(self, kind: type[widgets.Widget], **values: str) -> Any:
        """Return the style with these values for widgets of this kind."""
        return self._one_of(kind.class_traits()["style"].klass, values)

    def _one_of(self, kind: Any, values: dict[str, str]) -> Any:
        key = kind, *sorted(values.items())
        if key not in self._made:
            self._made[key] = kind(**values)
        return self._made[key]


def row(*children: Any) -> Any:
    """Return widgets beside each other, in several lines where there is little room."""
    layout = widgets.Layout(flex_flow="row wrap", align_items="center")
    return widgets.HBox(children, layout=layout)


def button_layout() -> Any:
    """Return the layout of a button that stands alone in its line, as wide as its words."""
    return widgets.Layout(width="auto", align_self="flex-start", margin="0.3em 2px")


def set_visible(widget: Any, visible: bool) -> None:
    """Show a widget, or hide it and close its gap."""
    widget.layout.display = None if visible else "none"


def with_tooltip(widget: Any, text: str) -> None:
    """Set a widget's tooltip: ipywidgets 8 has another name for it, but not in all widgets."""
    name = "tooltip" if widget.has_trait("tooltip") else "description_tooltip"
    if widget.has_trait(name):
        setattr(widget, name, text)
