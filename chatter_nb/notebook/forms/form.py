"""The base of both forms: controls, buttons, progress, result, takes and YAML.

A run is a call of a synchronous function in the form's worker thread. Everything else happens in
the thread that receives the browser's messages.
"""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from IPython.core.getipython import get_ipython
from IPython.display import HTML, display

from chatter_nb.base.errors import Cancelled, ChatterError
from chatter_nb.base.project import resolve_path
from chatter_nb.engines.models import relinquish
from chatter_nb.engines.offered import voice_choices
from chatter_nb.engines.voices import library_of
from chatter_nb.notebook import show
from chatter_nb.notebook.forms.layout import row
from chatter_nb.notebook.forms.live import LivePlayer
from chatter_nb.notebook.forms.notices import Notices, ProgressLine
from chatter_nb.notebook.forms.sheet import Sheet
from chatter_nb.notebook.forms.takes import Takes
from chatter_nb.notebook.forms.worker import Worker
from chatter_nb.notebook.forms.yamlpanel import YamlPanel
from chatter_nb.pages.players import asset, playing
from chatter_nb.pages.review import write_checked_review
from chatter_nb.params.base import RunParams
from chatter_nb.params.yaml_text import LEFT_OUT, from_yaml, to_yaml
from chatter_nb.runs.content import content_digest
from chatter_nb.runs.resume import draw_seed
from chatter_nb.runs.speech import Speech

UPLOADS = "uploads"  # folder under outputs_dir
_NAME_CHARS = 100  # of a run's name, before the hash of its parameters
_STORM_S = 0.3  # a second click within this time does not count

Make = Callable[[Any, Callable[[], bool]], tuple[Any, Speech]]


class Form(widgets.VBox):
    """The base of both forms. A subclass defines how a run is made, and adds its own widgets."""

    cls: type[RunParams]
    verb: str  # on the button
    unit: str  # "chunk" or "window"
    icon: str
    voice_field: str  # names a recording: a known voice, or an upload
    plan: Callable[[Any], Any]  # returns the plan of a run

    def __init__(self, params: RunParams, speech: Speech | None = None) -> None:
        self._worker = Worker()
        self._clicked_s = 0.0
        engine = speech.record.engine.name if speech and params.engine == "auto" else None
        library = library_of(params)  # type: ignore[arg-type]
        self.sheet = Sheet(self.cls, engine, lambda entry: voice_choices(entry, library))
        self.notices = Notices()
        self._progress = ProgressLine(self.unit)
        self.live = LivePlayer()
        self._result = widgets.Output()
        self._result.add_class("chatter-result")
        self._summary = widgets.HTML()
        self.takes = Takes(self.load, self.notices.guard)
        # Without, and with a drawn seed.
        self._unfinished: tuple[RunParams, RunParams] | None = None
        self._go = widgets.Button(description=self.verb, button_style="primary", icon=self.icon)
        self._stop = widgets.Button(description="Cancel", icon="stop", disabled=True)
        self._go.on_click(lambda _: self._clicked())
        self._stop.on_click(lambda _: self._cancel())
        style = widgets.HTML(f"<style>{asset('form.css')}</style>", layout={"display": "none"})
        first = [*self._top(), self.sheet.box, *self._buttons(), *self._below()]
        super().__init__([style, *first, self.sheet.fold, self.takes.box])
        self.add_class("chatter-form")
        self.layout.width = "100%"
        self.load(params)
        if speech is not None:
            self._keep(params, speech, play=False)

    # What a subclass defines ---------------------------------------------------------------------

    def _top(self) -> Sequence[Any]:
        """Return the widgets above the controls."""
        return ()

    def _values(self) -> dict[str, Any]:
        """Return the values of widgets that are not in the sheet."""
        return {}

    def _perform(self, plan: Any, cancelled: Callable[[], bool] | None) -> Speech:
        """Make the run of a plan, and report its progress with `self._progress`."""
        raise NotImplementedError

    def _finished(self, params: Any, speech: Speech) -> None:
        """Called with each shown run."""

    def _stopped(self) -> None:
        """Called when a run was cancelled."""

    # What is in the form -------------------------------------------------------------------------

    @property
    def params(self) -> Any:
        """The parameters in the form. Raises `ParamError` with all problems."""
        values = {**self.sheet.values(), **self._values(), "interactive": True}
        return self.cls.create(values, where="the form")

    def load(self, params: RunParams) -> None:
        """Put a run's parameters into the form."""
        self.notices.clear()
        left_out = self.sheet.show(params)
        if left_out:
            self.notices.note(f"the engine does not take {', '.join(left_out)}: left out")

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the current run, as tests and notebook cells do; return if it has ended."""
        return self._worker.wait(timeout_s)

    def render(self, plan: Any, *, player: bool = True) -> Speech:
        """Make the run of a plan, as a notebook's cell does, and play it in the form's player.

        Interrupt the cell to stop it. Where nobody watches, such as in Papermill, the cell shows
        the player as well. If `player` is false, a later cell shows it, and nothing plays here.
        """
        self._running(True)
        self._stop.disabled = True  # a kernel that runs a cell hears no button
        self._progress.begin("getting ready …")
        self.live.tell("look")
        try:
            speech = self._perform(plan, None)
        except BaseException as error:
            self.live.stop()
            if isinstance(error, Cancelled):
                self._stopped()
            raise
        finally:
            self._idle()
        self._keep(plan.params, speech, play=player)
        self.live.tell("look")
        if player and not is_watched():
            display(show.player(speech))
        return speech

    def start(self, params: RunParams, make: Make | None = None) -> bool:
        """Start a run with `params`; return False while another run is being made.

        `make(params, cancelled)` makes it, and returns the parameters that it used in the end.
        """
        if self._worker.busy:
            return False
        params = self._drawn(params)
        self.notices.clear()
        self._running(True)
        self._progress.begin("getting ready …")
        self._result.outputs = ()  # an earlier take, which stands among the takes, is no answer
        started = False
        try:
            started = self._worker.start(
                lambda cancelled: self._work(params, cancelled, make or self._make)
            )
        finally:
            if not started:
                self._idle()
        return started

    def _drawn(self, params: RunParams) -> RunParams:
        """Return `params` with a drawn seed in place of -1: the take's YAML repeats the take.

        A cancelled run goes on with the seed that it had.
        """
        if params.seed >= 0:
            return params
        requested, drawn = self._unfinished or (None, params)
        if requested != params:
            drawn = params.model_copy(update={"seed": draw_seed()})
        self._unfinished = (params, drawn)
        return drawn

    # What happens --------------------------------------------------------------------------------

    def _clicked(self) -> None:
        now_s = time.monotonic()
        if not self._worker.busy and now_s - self._clicked_s > _STORM_S:
            self.notices.guard(lambda: self.start(self.params))
        self._clicked_s = now_s

    def _cancel(self) -> None:
        self._worker.cancel()
        self._progress.say(f"stopping after this {self.unit} …")

    def _make(self, params: Any, cancelled: Callable[[], bool]) -> tuple[Any, Speech]:
        plan = type(self).plan(apart(params))
        self._show_summary(plan)
        return params, self._perform(plan, cancelled)

    def _work(self, params: RunParams, cancelled: Callable[[], bool], make: Make) -> None:
        """Make a run in the worker thread. The form can be used again after any error."""
        is_kept = False
        try:
            relinquish()  # a model of another device or checkpoint may replace the loaded model
            self._keep(*make(params, cancelled))
            self._unfinished, is_kept = None, True
        except Cancelled as stopped:
            self.notices.note(f"{stopped} (press {self.verb})")
            self._stopped()
        except ChatterError as error:
            self.notices.problem(str(error))
        except OSError as error:
            self.notices.problem(f"{error.strerror}: {error.filename}")
        except Exception as error:
            self.notices.defect(error)
        finally:
            if not is_kept:
                self.live.stop()
            self._idle()

    def _idle(self) -> None:
        self._progress.end()
        self._running(False)

    def _keep(self, params: RunParams, speech: Speech, *, play: bool = True) -> None:
        if params.engine == "auto":
            self.sheet.resolved(speech.record.engine.name)
        take = self.takes.add(params, speech)
        self._show(playing(take.player) if play else take.player)
        self._show_summary(f"Take {take.number}: {speech}")
        self._finished(params, speech)
        if speech.record.warnings:
            self.notices.note("\n".join(dict.fromkeys(speech.record.warnings)))
        write_checked_review(speech)

    def _show(self, player: str) -> None:
        """Put a player in the place of the last one."""
        self._result.outputs = ()
        self._result.append_display_data(HTML(player))

    def _show_summary(self, summary: object) -> None:
        """Show the plan before the work (engine, reason, cost), or the finished take after it."""
        style = "white-space: pre-wrap; line-height: 1.4; color: var(--jp-ui-font-color2, GrayText)"
        self._summary.value = f'<div style="{style}">{html.escape(str(summary))}</div>'

    def _running(self, running: bool) -> None:
        self._go.disabled = running
        self._stop.disabled = not running

    # How it looks --------------------------------------------------------------------------------

    def _buttons(self) -> Sequence[Any]:
        """Return the row of buttons, and what is below it: YAML, progress and notices."""
        self.yaml = YamlPanel(
            current=lambda: to_yaml(self.params),
            load=self._load_yaml,
            guard=self.notices.guard,
            folder=self._upload_folder,
        )
        buttons = row(self._go, self._stop, *self.yaml.buttons)
        return [buttons, self.yaml.box, self._progress.box, self.notices.box]

    def _below(self) -> Sequence[Any]:
        return [self.live, self._result, self._summary]

    def _upload_folder(self) -> Path:
        return resolve_path(self.sheet.controls["outputs_dir"].value or "outputs") / UPLOADS

    # YAML ----------------------------------------------------------------------------------------

    def _load_yaml(self, text: str) -> None:
        controls = self.sheet.controls
        rest = {name: controls[name].value for name in LEFT_OUT & controls.keys()}
        self.load(from_yaml(self.cls, text, **rest))


def is_watched() -> bool:
    """Return if a person runs the cell: a browser would ask questions, Papermill would not."""
    kernel = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", True))


def apart(params: RunParams) -> RunParams:
    """Return `params` with a folder of their own: no take may overwrite another take.

    Two takes can have the same run name, or read a file that was edited in between.
    """
    name = params.resolved_run_name()[:_NAME_CHARS].rstrip(" .")
    name += f"-{params.digest()}" if params.run_name else ""
    read = content_digest(params)  # type: ignore[arg-type]
    return params.model_copy(update={"run_name": f"{name}-{read}" if read else name})
