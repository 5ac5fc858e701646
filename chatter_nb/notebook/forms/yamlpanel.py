"""The YAML panel of a form: copies the form's parameters as YAML, and loads YAML into the form."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from chatter_nb.base.errors import ParamError
from chatter_nb.notebook.forms.layout import row, set_visible
from chatter_nb.notebook.forms.takes import Guard
from chatter_nb.notebook.forms.uploads import CopyButton, Upload

MAX_BYTES = 1_000_000  # of a YAML file


class YamlPanel:
    """`buttons` are for the form's row of buttons; `box` unfolds below it.

    `current()` returns the form's YAML, `load(text)` puts YAML into the form; both raise
    `ParamError`. `guard(call)` shows an error in the form. Uploads go to `folder()`.
    """

    def __init__(
        self,
        *,
        current: Callable[[], str],
        load: Callable[[str], object],
        guard: Guard,
        folder: Callable[[], Path],
    ) -> None:
        self._current, self._load, self._guard = current, load, guard
        self.text = widgets.Textarea(
            "", rows=8, layout=widgets.Layout(width="auto"), placeholder="name: value lines"
        )
        auto: dict[str, Any] = {"layout": widgets.Layout(width="auto")}
        tooltip = "for a file in params/, and for batches"
        copy = CopyButton("Copy as YAML", tooltip=tooltip, text=self.copied)
        self._fold = widgets.ToggleButton(
            False, description="Show YAML", icon="file-text-o", **auto
        )
        take = widgets.Button(description="Load this YAML", icon="upload", **auto)
        take.on_click(lambda _: guard(self.load))
        upload = Upload("or a file", accept=".yaml,.yml", folder=folder, on_file=self._received)
        upload.limit_bytes = MAX_BYTES
        self.buttons = [copy, self._fold]
        self.box = widgets.VBox(
            [self.text, row(take, upload)], layout=widgets.Layout(display="none")
        )
        self._filled = ""  # the YAML that the panel itself has put into the field
        self._fold.observe(self._unfold, names="value")

    def copied(self) -> str | None:
        """Return the form's YAML, None after an error.

        It is also shown: not every browser allows a page to write to the clipboard.
        """
        copies: list[str] = []
        self._guard(lambda: copies.append(self._fill()))
        if not copies:
            return None
        self._fold.value = True
        return copies[0]

    def load(self) -> None:
        """Load the text of the field into the form. Raises `ParamError`."""
        self._load(self.text.value)

    def _fill(self) -> str:
        self.text.value = self._filled = self._current()
        return self._filled

    def _received(self, path: Path) -> str:
        try:
            self.text.value = path.read_text(encoding="utf-8-sig", errors="replace")
            self._filled = ""
        finally:
            path.unlink(missing_ok=True)  # the field holds its text
        self._fold.value = True
        self.load()
        return "loaded"

    def _unfold(self, change: Any) -> None:
        """Show the form's current YAML, unless a person has put a text into the field."""
        if change["new"] and self.text.value in ("", self._filled):
            with suppress(ParamError):  # nobody asked to check the form
                self._fill()
        set_visible(self.box, change["new"])
