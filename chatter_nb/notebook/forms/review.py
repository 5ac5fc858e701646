"""The review of a run as a widget: the editor of `pages`, which the kernel answers by messages.

An edit is on the disk before the editor says that it is saved. Making a line again, and applying
the edits, happen in a thread, one at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from chatter_nb.base.errors import ChatterError, InputError
from chatter_nb.pages.players import asset
from chatter_nb.pages.review import again, editor_script, line_audio, review_data, write_takes
from chatter_nb.runs.edits import Edit, save_edits
from chatter_nb.runs.revise import apply_edits
from chatter_nb.runs.speech import Speech

Work = Callable[[Callable[[], bool]], object]  # gets `cancelled()`


class ReviewWidget(anywidget.AnyWidget):
    """The lines of a run, to hear, mark and edit. It is hidden until `show`.

    `start(work)` starts `work(cancelled)` in a thread; it returns False, and starts nothing, while
    other work runs. A form gives its own, so that a model never speaks twice at the same time.
    """

    _esm = editor_script() + asset("review_widget.js")
    _css = asset("review.css")
    data = traitlets.Dict().tag(sync=True)

    def __init__(self, start: Callable[[Work], bool]) -> None:
        super().__init__()
        self._start = start
        self._speech: Speech | None = None
        self._is_disabled = False
        self._listeners: list[Callable[[Speech], object]] = []
        self.layout.display = "none"
        self.on_msg(self._take)

    def show(self, params: Any, speech: Speech) -> None:
        """Show the lines of a run; hide the widget if it is a conversion, which has none."""
        self._speech = speech if speech.record.kind == "speak" else None
        if self._speech:
            write_takes(speech)
        self.data = review_data(speech) if self._speech else {}
        self.layout.display = None if self._speech else "none"

    def on_applied(self, callback: Callable[[Speech], object]) -> None:
        """Call `callback(speech)` with the run, each time its files hold the edits."""
        self._listeners.append(callback)

    def disable(self, disabled: bool) -> None:
        """Refuse to make lines, while a run is made; hearing and marking go on."""
        self._is_disabled = disabled

    def _take(self, widget: Any, content: dict[str, Any], buffers: list[Any]) -> None:
        """Answer a message: what is quick at once, the rest from a thread."""
        turn, kind = content.get("turn"), content.get("kind")
        if kind in ("save", "audio"):
            self._answer(turn, lambda: self._quick(content))
        elif self._is_disabled or not self._start(
            lambda cancelled: self._answer(turn, lambda: self._slow(content, cancelled))
        ):
            text = "a run is being made: wait for its end, or cancel it, then try again"
            self.send({"turn": turn, "error": text})

    def _answer(self, turn: Any, work: Callable[[], Any]) -> None:
        try:
            self.send({"turn": turn, "value": work()})
        except ChatterError as error:
            self.send({"turn": turn, "error": str(error)})
        except Exception as error:  # without an answer, the editor would wait forever
            self.send({"turn": turn, "error": f"it failed ({type(error).__name__}: {error})"})

    def _quick(self, content: dict[str, Any]) -> Any:
        speech, edit = self._shown(), Edit.model_validate(content["edit"])
        if content["kind"] == "audio":
            return line_audio(speech, edit, str(content["key"]))
        save_edits(speech.folder, [edit])
        return None

    def _slow(self, content: dict[str, Any], cancelled: Callable[[], bool]) -> Any:
        speech = self._shown()
        if content["kind"] == "again":
            return again(speech, Edit.model_validate(content["edit"]), cancelled=cancelled)
        self.show(None, apply_edits(speech, cancelled=cancelled))
        for callback in self._listeners:
            callback(self._shown())
        return None

    def _shown(self) -> Speech:
        if self._speech is None:
            raise InputError("no run is shown: press Speak")
        return self._speech
