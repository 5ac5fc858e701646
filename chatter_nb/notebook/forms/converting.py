"""The form that converts: a recording, and the voice it takes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from chatter_nb.audio.curves import duration_s
from chatter_nb.notebook.forms.form import Form
from chatter_nb.notebook.forms.recordings import (
    check_upload,
    receive_voice,
    recordings_accepted,
    voices_of,
)
from chatter_nb.params.base import RunParams
from chatter_nb.params.runs import ConvertParams
from chatter_nb.runs.convert import plan_conversion, render_conversion
from chatter_nb.runs.convert_plan import MIN_SOURCE_S
from chatter_nb.runs.lifecycle import Progress
from chatter_nb.runs.speech import Speech


class ConvertForm(Form):
    """Choose a recording and a voice, press Convert, listen; see `Form`."""

    cls = ConvertParams
    verb = "Convert"
    unit = "window"
    icon = "exchange"

    def _top(self) -> Sequence[Any]:
        accepted = recordings_accepted()
        source = self._upload("The recording to convert", accepted, self._source_came)
        target = self._upload("The voice it takes on", accepted, self._target_came)
        return [widgets.HBox([source, target], layout=widgets.Layout(flex_flow="row wrap"))]

    def _suggestions(self, params: RunParams) -> Mapping[str, Sequence[Any]]:
        return {"target": voices_of(params)}

    def _render(
        self, params: Any, progress: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> Speech:
        plan = plan_conversion(params)
        self._plan_is(plan)
        return render_conversion(plan, progress, cancelled)

    def _source_came(self, path: Path) -> str:
        notes = check_upload(path, min_s=MIN_SOURCE_S, heard_s=math.inf)
        self.sheet.controls["source"].value = str(path)
        return "; ".join([f"{path.name} is ready, {duration_s(path):.1f} s", *notes])

    def _target_came(self, path: Path) -> str:
        places = {name: self.sheet.controls[name].value for name in ("voices_dir", "outputs_dir")}
        where = ConvertParams.create({"source": "-", **places}, where="the form")
        voice, told = receive_voice(path, where)
        self.sheet.controls["target"].suggest(voice)
        return told
