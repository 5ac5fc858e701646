"""All controls of a kind of run: the first ones in sight, the others folded away by their purpose.

A parameter that the chosen engine does not take has a hidden control, and keeps its default.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from chatter_nb.engines.models import has_gpu_driver, pick_engine
from chatter_nb.engines.registry import ENGINE_PARAMETERS, EngineEntry, entries, entry
from chatter_nb.notebook.forms import controls
from chatter_nb.notebook.forms.cast import CastRows
from chatter_nb.notebook.forms.layout import Shared, button_layout, set_visible
from chatter_nb.params.base import RunKind, RunParams
from chatter_nb.params.fields import Field, fields_of

Voices = Callable[[EngineEntry | None], list[tuple[str, str]]]

# A form is always interactive; its text field stands above the controls.
_NO_CONTROL = {"interactive", "text"}
_FIRST = ("source", "target", "voice", "speed")
_SLIDER_STEPS = 120  # of a slider, at most; a number with a larger range is typed


class Sheet:
    """The controls of all parameters of `cls` except the text.

    `box` shows the first of them, `fold` the others: those that people change often first.
    `resolved` is the engine that `auto` has chosen, None if unknown; `voices(entry)` are the voices
    of an engine, as (in words, name).
    """

    def __init__(self, cls: type[RunParams], resolved: str | None, voices: Voices) -> None:
        self.cls = cls
        self.on_engine: Callable[[], object] = lambda: None  # called when another engine is chosen
        self._auto, self._voices = resolved or _resolved_cheaply(cls.kind), voices
        names = dict.fromkeys(("language", "narrator", cls.voice_field), ())
        options = {"engine": _engine_options(cls), **names}
        self._shared = Shared()
        self.controls = {
            name: _kind_of(field, options.get(name))(field, self._shared, options.get(name))
            for name, field in fields_of(cls).items()
            if name not in _NO_CONTROL
        }
        self.controls["engine"].on_change(self.follow_engine)
        self.box = widgets.VBox(
            [self.controls[name].box for name in _FIRST if name in self.controls]
        )
        self._groups = self._by_purpose()
        self.folded = [box for box, _ in self._groups]  # drawn when a person first asks for them
        self._unfolded = widgets.VBox(layout=widgets.Layout(display="none"))
        self._fold = widgets.ToggleButton(
            False, description="More settings", icon="sliders", layout=button_layout()
        )
        self._fold.observe(self._unfold, names="value")
        self.fold = widgets.VBox([self._fold, self._unfolded])
        self.follow_engine()

    def _by_purpose(self) -> list[tuple[Any, list[Any]]]:
        """Return for each purpose its box, with a title, and the boxes of its controls."""
        groups: dict[str, list[Any]] = {}
        rest = [c for name, c in self.controls.items() if name not in _FIRST]
        for control in sorted(rest, key=lambda control: not control.field.often):
            groups.setdefault(control.field.purpose, []).append(control.box)
        return [
            (widgets.VBox([self._title(purpose), *boxes]), boxes)
            for purpose, boxes in groups.items()
        ]

    def _title(self, purpose: str) -> Any:
        looks = {"layout": self._shared.layout(), "style": self._shared.style(widgets.HTML)}
        return widgets.HTML(f"<b>{purpose}</b>", **looks)

    def values(self) -> dict[str, Any]:
        """Return the values of the parameters that the engine takes, typed as `-p` types them."""
        engine = self.engine
        values = {
            name: control.value
            for name, control in self.controls.items()
            if name not in ENGINE_PARAMETERS or engine is None or name in engine.accepts
        }
        return self.cls.coerce(values)

    def show(self, params: RunParams) -> list[str]:
        """Put a run's values into the controls; return what is set but not for the engine."""
        for name, control in self.controls.items():
            control.value = getattr(params, name)
        self.follow_engine()
        fields, engine = self.cls.model_fields, self.engine
        if engine is None:
            return []
        foreign = (fields.keys() & ENGINE_PARAMETERS) - engine.accepts
        return sorted(name for name in foreign if getattr(params, name) != fields[name].default)

    def resolved(self, engine: str) -> None:
        """Take note of the engine that `auto` has chosen."""
        if self._auto != engine and self.controls["engine"].value == "auto":
            self._auto = engine
            self.follow_engine()

    def follow_engine(self) -> None:
        """Show the controls that the chosen engine takes, with its own default values."""
        engine = self.engine
        for name in ENGINE_PARAMETERS & self.controls.keys():
            control = self.controls[name]
            set_visible(control.box, engine is None or name in engine.accepts)
            control.show_default(engine.knobs.get(name) if engine else None)
        voices = self._voices(engine)
        for name in {self.cls.voice_field, "narrator", "cast"} & self.controls.keys():
            self.controls[name].choose_from(voices)
        languages = engine.languages if engine else ()
        if "language" in self.controls:
            self.controls["language"].choose_from(languages)
            set_visible(self.controls["language"].box, len(languages) != 1)
        self.on_engine()
        for box, boxes in self._groups:
            set_visible(box, any(inner.layout.display != "none" for inner in boxes))

    @property
    def engine(self) -> EngineEntry | None:
        """The entry of the chosen engine; None while the choice of `auto` is unknown."""
        chosen = self.controls["engine"].value
        name = self._auto if chosen == "auto" else chosen
        return entry(name, self.cls.kind) if name else None

    def _unfold(self, change: Any) -> None:
        self._unfolded.children = self.folded
        set_visible(self._unfolded, change["new"])
        self._fold.description = "Fewer settings" if change["new"] else "More settings"


def _engine_options(cls: type[RunParams]) -> list[tuple[str, str]]:
    """Return (label, name) of every engine; the label says if it is not installed."""
    missing = {name for name, engine in entries(cls.kind).items() if engine.missing()}
    return [
        (f"{name}, not installed" if name in missing else name, name)
        for name in fields_of(cls)["engine"].choices
    ]


def _resolved_cheaply(kind: RunKind) -> str | None:
    """Return the engine that `auto` chooses; None if this needs torch, which loads for seconds."""
    looks_for_gpu = any(engine.needs_gpu and not engine.missing() for engine in entries().values())
    if looks_for_gpu and "torch" not in sys.modules and has_gpu_driver():
        return None
    return pick_engine("auto", kind).name


def _kind_of(field: Field, options: controls.Options) -> type[controls.Control]:
    """Return the kind of control for a field."""
    if field.name == "cast":
        return CastRows
    if field.kind == "flag":
        return controls.ThreeWays if field.optional else controls.Plain
    if field.kind == "number" and field.optional and _steps(field) <= _SLIDER_STEPS:
        return controls.Slider
    if field.kind in ("integer", "number") and not field.optional:
        return controls.Plain
    if options is not None and field.kind == "text":
        return controls.Names
    kinds = {"choice": controls.Dropdown, "choices": controls.Checkboxes}
    return kinds.get(field.kind, controls.Text)


def _steps(field: Field) -> float:
    """Return how many steps a slider would have."""
    if field.least is None or field.most is None:
        return float("inf")
    return (field.most - field.least) / controls.STEP
