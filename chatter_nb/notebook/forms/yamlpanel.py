"""The form's parameters as YAML: copied out of it, typed or brought by a file into it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from chatter_nb.base.errors import ParamError
from chatter_nb.notebook.forms.uploads import CopyButton, Upload

MAX_BYTES = 1_000_000  # of a file: parameters, not data


class YamlPanel:
    """`buttons` go into the form's row of them, `box` folds out below it.

    `current()` answers the form's YAML, `load(text)` puts YAML into the form; both raise
    `ParamError`, and `guard(call)` tells it where the form tells such things.
    """

    def __init__(
        self,
        *,
        current: Callable[[], str],
        load: Callable[[str], object],
        guard: Callable[[Callable[[], object]], None],
        folder: Callable[[], Path],
    ) -> None:
        self._current, self._load, self._guard = current, load, guard
        self.text = widgets.Textarea(
            "", rows=8, layout=widgets.Layout(width="auto"), placeholder="name: value lines"
        )
        auto: dict[str, Any] = {"layout": widgets.Layout(width="auto")}
        told = "for a file in params/, and for batches"
        copy = CopyButton("Copy as YAML", told=told, text=self.copied)
        self._fold = widgets.ToggleButton(
            False, description="Show YAML", icon="file-text-o", **auto
        )
        take = widgets.Button(description="Load this YAML", icon="upload", **auto)
        take.on_click(lambda _: guard(self.load))
        accept = ".yaml,.yml"
        upload = Upload("or a file", accept=accept, folder=folder, received=self._received)
        upload.limit_bytes = MAX_BYTES
        row = widgets.HBox(
            [take, upload], layout=widgets.Layout(flex_flow="row wrap", align_items="center")
        )
        self.buttons = [copy, self._fold]
        self.box = widgets.VBox([self.text, row], layout=widgets.Layout(display="none"))
        self._given = ""  # what the field was last filled with: nothing that a person typed
        self._fold.observe(self._unfold, names="value")

    def copied(self) -> str | None:
        """The form's YAML, shown as well: not every browser lets a page write its clipboard."""
        filled: list[str] = []
        self._guard(lambda: filled.append(self._fill()))
        if not filled:
            return None
        self._fold.value = True
        return filled[0]

    def load(self) -> None:
        """Put what the field holds into the form. Raises `ParamError`."""
        self._load(self.text.value)

    def _fill(self) -> str:
        self.text.value = self._given = self._current()
        return self._given

    def _received(self, path: Path) -> str:
        try:
            self.text.value = path.read_text(encoding="utf-8-sig", errors="replace")
            self._given = ""
        finally:
            path.unlink(missing_ok=True)  # it is in the form now
        self._fold.value = True
        self.load()
        return "loaded"

    def _unfold(self, change: Any) -> None:
        """The form's YAML as it is now, unless the field holds what a person put there."""
        if change["new"] and self.text.value in ("", self._given):
            with suppress(ParamError):  # nobody has asked for what is wrong with the form
                self._fill()
        self.box.layout.display = None if change["new"] else "none"
