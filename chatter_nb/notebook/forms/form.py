"""What both forms are: controls, buttons, progress, result, takes, YAML, and what ties them.

The work is one call of a synchronous function in the form's one thread; everything else happens in
the thread that the browser's messages come in on.
"""

from __future__ import annotations

import html
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets
from IPython.display import HTML

from chatter_nb.base.errors import Cancelled, ChatterError
from chatter_nb.base.project import resolve_path
from chatter_nb.engines.models import relinquish
from chatter_nb.notebook.forms.notices import Notices, ProgressLine, guarded
from chatter_nb.notebook.forms.sheet import Sheet
from chatter_nb.notebook.forms.takes import Takes
from chatter_nb.notebook.forms.uploads import Upload, page
from chatter_nb.notebook.forms.worker import Worker
from chatter_nb.notebook.forms.yamlpanel import YamlPanel
from chatter_nb.notebook.players import playing
from chatter_nb.params.base import RunParams
from chatter_nb.params.yaml_text import LEFT_OUT, from_yaml, to_yaml
from chatter_nb.runs.content import content_digest
from chatter_nb.runs.lifecycle import Progress
from chatter_nb.runs.settle import draw_seed
from chatter_nb.runs.speech import Speech

UPLOADS = "uploads"  # under the outputs root
_NAME_CHARS = 100  # of a run's name, before the hash that tells takes apart
_STORM_S = 0.3  # a second click within this long is the same click


class Form(widgets.VBox):
    """The base of both forms. A subclass says how a run is made, and adds what only it has."""

    cls: type[RunParams]
    verb: str  # on the button
    unit: str  # what a run is made of
    icon: str

    def __init__(self, params: RunParams, speech: Speech | None = None) -> None:
        self._worker = Worker()
        self._clicked_s = 0.0
        engine = speech.record.engine.name if speech and params.engine == "auto" else None
        self.sheet = Sheet(self.cls, self._suggestions(params), engine)
        self.notices = Notices()
        self._progress = ProgressLine(self.unit)
        self._result = widgets.Output()
        self._told = widgets.HTML()
        self.takes = Takes(self.load, self._guard)
        self._unfinished: tuple[RunParams, RunParams] | None = None  # as asked for, as drawn
        self._go = widgets.Button(description=self.verb, button_style="primary", icon=self.icon)
        self._stop = widgets.Button(description="Cancel", icon="stop", disabled=True)
        self._go.on_click(lambda _: self._clicked())
        self._stop.on_click(lambda _: self._cancel())
        style = widgets.HTML(f"<style>{page('form.css')}</style>", layout={"display": "none"})
        super().__init__([style, *self._top(), self.sheet.box, *self._buttons(), *self._below()])
        self.add_class("chatter-form")
        self.layout.width = "100%"
        self.load(params)
        if speech is not None:
            self._keep(params, speech, play=False)

    # What a subclass says ------------------------------------------------------------------------

    def _top(self) -> Sequence[Any]:
        """What stands above the controls."""
        return ()

    def _suggestions(self, params: RunParams) -> Mapping[str, Sequence[Any]]:
        """Values to choose from, by field."""
        return {}

    def _values(self) -> dict[str, Any]:
        """What the form holds, besides the controls."""
        return {}

    def _render(
        self, params: Any, progress: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> Speech:
        """Plan a run, tell the plan by `self._plan_is`, and carry it out."""
        raise NotImplementedError

    def _finished(self, params: Any, speech: Speech) -> None:
        """A run is shown: show more of it."""

    # What is in the form -------------------------------------------------------------------------

    @property
    def params(self) -> Any:
        """What the form asks for. Raises `ParamError` with everything that is wrong."""
        given = {**self.sheet.values(), **self._values(), "interactive": True}
        return self.cls.create(given, where="the form")

    def load(self, params: RunParams) -> None:
        """Put a run's parameters into the form."""
        self.notices.clear()
        left_out = self.sheet.show(params)
        if left_out:
            self.notices.note(f"the engine does not take {', '.join(left_out)}: left out")

    def _guard(self, call: Callable[[], object]) -> None:
        self.notices.clear()
        guarded(self.notices, call)

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait for the run in hand: for tests, and for cells that go on from a form."""
        return self._worker.wait(timeout_s)

    def start(self, params: RunParams) -> bool:
        """Make a run of these; False while another one is being made."""
        if self._worker.busy:
            return False
        params = self._drawn(params)
        self.notices.clear()
        self._running(True)
        self._progress.begin("getting ready …")
        started = False
        try:
            started = self._worker.start(lambda cancelled: self._work(params, cancelled))
        finally:
            if not started:
                self._idle()
        return started

    def _drawn(self, params: RunParams) -> RunParams:
        """With a seed in place of -1: every draw is a take of its own, and its YAML makes it again.

        What was cancelled goes on with the seed that it had.
        """
        if params.seed >= 0:
            return params
        asked, drawn = self._unfinished or (None, params)
        if asked != params:
            drawn = params.model_copy(update={"seed": draw_seed()})
        self._unfinished = (params, drawn)
        return drawn

    # What happens --------------------------------------------------------------------------------

    def _clicked(self) -> None:
        now_s = time.monotonic()
        if not self._worker.busy and now_s - self._clicked_s > _STORM_S:
            self._guard(lambda: self.start(self.params))
        self._clicked_s = now_s

    def _cancel(self) -> None:
        self._worker.cancel()
        self._progress.say(f"stopping after this {self.unit} …")

    def _work(self, params: RunParams, cancelled: Callable[[], bool]) -> None:
        """In the form's thread. Whatever happens, the form can be used again after it."""
        try:
            relinquish()  # a model on another device or checkpoint may take the last one's place
            self._keep(params, self._render(apart(params), self._progress.update, cancelled))
            self._unfinished = None
        except Cancelled as stopped:
            self.notices.note(f"{stopped} (press {self.verb})")
        except ChatterError as error:
            self.notices.problem(str(error))
        except OSError as error:
            self.notices.problem(f"{error.strerror}: {error.filename}")
        except Exception as error:
            self.notices.defect(error, traceback.format_exc())
        finally:
            self._idle()

    def _idle(self) -> None:
        self._progress.end()
        self._running(False)

    def _keep(self, params: RunParams, speech: Speech, *, play: bool = True) -> None:
        if params.engine == "auto":
            self.sheet.resolved(speech.record.engine.name)
        take = self.takes.add(params, speech)
        self._result.outputs = ()
        self._result.append_display_data(HTML(playing(take.player) if play else take.player))
        self._tell(f"Take {take.number}: {speech}")
        self._finished(params, speech)
        if speech.record.warnings:
            self.notices.note("\n".join(dict.fromkeys(speech.record.warnings)))

    def _plan_is(self, plan: object) -> None:
        """The plan, before the work: who will speak and why, and what it will cost."""
        self._tell(str(plan))

    def _tell(self, told: str) -> None:
        style = "white-space: pre-wrap; line-height: 1.4; color: var(--jp-ui-font-color2, GrayText)"
        self._told.value = f'<div style="{style}">{html.escape(told)}</div>'

    def _running(self, running: bool) -> None:
        self._go.disabled = running
        self._stop.disabled = not running

    # How it looks --------------------------------------------------------------------------------

    def _buttons(self) -> Sequence[Any]:
        """The row of buttons, and what folds out of it."""
        self.yaml = YamlPanel(
            current=self._as_yaml,
            load=self._load_yaml,
            guard=self._guard,
            folder=self._upload_folder,
        )
        wrap = widgets.Layout(flex_flow="row wrap", align_items="center")
        row = widgets.HBox([self._go, self._stop, *self.yaml.buttons], layout=wrap)
        return [row, self.yaml.box, self._progress.box, self.notices.box]

    def _below(self) -> Sequence[Any]:
        return [self._result, self._told, self.takes.box]

    def _upload(self, label: str, accept: str, received: Callable[[Path], str]) -> Upload:
        return Upload(label, accept=accept, folder=self._upload_folder, received=received)

    def _upload_folder(self) -> Path:
        return self._outputs() / UPLOADS

    def _outputs(self) -> Path:
        return resolve_path(self.sheet.controls["outputs_dir"].value or "outputs")

    # YAML ----------------------------------------------------------------------------------------

    def _as_yaml(self) -> str:
        return to_yaml(self.params)

    def _load_yaml(self, text: str) -> None:
        controls = self.sheet.controls
        rest = {name: controls[name].value for name in LEFT_OUT & controls.keys()}
        self.load(from_yaml(self.cls, text, **rest))


def apart(params: RunParams) -> RunParams:
    """With a folder of its own: a take must not overwrite another, by the same name or of a file
    that was edited since."""
    name = params.resolved_run_name()[:_NAME_CHARS].rstrip(" .")
    name += f"-{params.digest()}" if params.run_name else ""
    read = content_digest(params)  # type: ignore[arg-type]
    return params.model_copy(update={"run_name": f"{name}-{read}" if read else name})
