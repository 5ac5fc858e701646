"""All controls of a kind of run: those that are changed most in sight, the others folded away.

Which knobs are shown follows the engine; one that is out of sight is at its default.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import ipywidgets as widgets

from chatter_nb.engines.base import KNOBS
from chatter_nb.engines.models import pick_engine
from chatter_nb.engines.registry import EngineEntry, entries, entry
from chatter_nb.notebook.forms.controls import Control
from chatter_nb.params.base import RunParams
from chatter_nb.params.fields import COMMON, Field, fields_of
from chatter_nb.params.runs import ConvertParams

# A form is always interactive; and the text has a place of its own above all controls.
_NO_CONTROL = {"interactive", "text"}
_OF_ENGINES = {*KNOBS, "checkpoint", "rows", "precision", "engine_path"}


class Sheet:
    """The controls of `cls`, but for the text; `box` is what is shown.

    `options` are suggestions by field (names of voices).
    """

    def __init__(
        self, cls: type[RunParams], options: Mapping[str, Sequence[Any]], resolved: str | None
    ) -> None:
        self.cls = cls
        self._convert = cls is ConvertParams
        self._auto = resolved or _resolved_cheaply(convert=self._convert)
        options = {"engine": _engine_options(cls), **options}
        self.controls = {
            name: Control(field, options=options.get(name))
            for name, field in fields_of(cls).items()
            if name not in _NO_CONTROL
        }
        self.controls["engine"].on_change(self.follow_engine)
        common = [name for name in COMMON[cls] if name in self.controls]
        self._folded = widgets.VBox(
            [one.box for name, one in self.controls.items() if name not in common],
            layout=widgets.Layout(display="none"),
        )
        self._fold = widgets.ToggleButton(
            False, description="More settings", icon="sliders", layout=widgets.Layout(width="auto")
        )
        self._fold.observe(self._unfold, names="value")
        shown = [self.controls[name].box for name in common]
        self.box = widgets.VBox([*shown, self._fold, self._folded])
        self.follow_engine()

    def values(self) -> dict[str, Any]:
        """What the controls hold, typed as `-p` would be, without what the engine does not take."""
        taken = self.taken
        given = {
            name: control.value
            for name, control in self.controls.items()
            if name not in _OF_ENGINES or taken is None or name in taken.takes
        }
        return self.cls.coerce(given)

    def show(self, params: RunParams) -> list[str]:
        """Put a run's values into the controls; returns what is set and is not for the engine."""
        for name, control in self.controls.items():
            control.value = getattr(params, name)
        self.follow_engine()
        held = self.cls.model_fields.keys() & _OF_ENGINES
        taken = self.taken
        return sorted(
            name
            for name in held
            if taken is not None
            and name not in taken.takes
            and getattr(params, name) != self.cls.model_fields[name].default
        )

    def on_change(self, call: Callable[[], object]) -> None:
        for control in self.controls.values():
            control.on_change(call)

    def resolved(self, engine: str) -> None:
        """What `auto` turned out to be."""
        if self._auto != engine and self.controls["engine"].value == "auto":
            self._auto = engine
            self.follow_engine()

    def follow_engine(self) -> None:
        """Show the knobs of the engine that is chosen, with its own values."""
        taken = self.taken
        for name in _OF_ENGINES & self.controls.keys():
            control = self.controls[name]
            control.show(taken is None or name in taken.takes)
            control.engine_has(taken.knobs.get(name) if taken else None)

    @property
    def taken(self) -> EngineEntry | None:
        """The entry of the chosen engine; None while nobody knows what `auto` will be."""
        chosen = self.controls["engine"].value
        name = self._auto if chosen == "auto" else chosen
        return entry(name, convert=self._convert) if name else None

    def _unfold(self, change: Any) -> None:
        self._folded.layout.display = None if change["new"] else "none"
        self._fold.description = "Fewer settings" if change["new"] else "More settings"


def _engine_options(cls: type[RunParams]) -> list[tuple[str, str]]:
    """Every engine; with those that are not installed, that they are not."""
    field: Field = fields_of(cls)["engine"]
    known = entries(convert=cls is ConvertParams)
    told = {name: ", not installed" for name, one in known.items() if one.missing()}
    return [(f"{name}{told.get(name, '')}", name) for name in field.choices]


def _resolved_cheaply(*, convert: bool) -> str | None:
    """What `auto` is, unless finding out means importing torch, which takes seconds."""
    looks_for_gpu = any(one.needs_gpu and not one.missing() for one in entries().values())
    if looks_for_gpu and find_spec("torch") and "torch" not in sys.modules:
        return None
    return pick_engine("auto", convert=convert).name
