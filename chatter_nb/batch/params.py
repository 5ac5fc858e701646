"""The parameters of a batch: one object for the command line, for `03_batch` and for Python."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from chatter_nb.base.errors import shown
from chatter_nb.params.base import StrictParams
from chatter_nb.params.types import Interactive, Text, one_or_more

_ADDRESS = re.compile(r"|auto|local|(ray://)?[^\s/]+:\d+")


class BatchParams(StrictParams):
    """Which notebook runs with which parameter files, where the results go, and who does it."""

    notebook: Text = Field("notebooks/01_speak.ipynb", description="the notebook to run")
    files: Annotated[tuple[Text, ...], BeforeValidator(one_or_more)] = Field(
        (), description="parameter files, patterns of them, or a choices.json: the runs it keeps"
    )
    overrides: dict[str, Any] = Field({}, description="parameter: value, over every file's")
    grid: dict[str, list[Any]] = Field({}, description="parameter: values; every combination runs")
    outputs_dir: Text = Field("", description="where run folders go; empty: as the files say")
    workers: int = Field(1, ge=1, le=256, description="processes, each with a kernel and a model")
    ray: bool = Field(False, description="run on Ray, here or on a cluster")
    ray_address: Text = Field("", description="a Ray cluster's; empty: one of this machine's own")
    gpus_per_worker: float | None = Field(
        None, ge=0, le=64, description="for Ray; 0.5: two workers on a GPU"
    )
    retry_failed: bool = Field(False, description="try what failed once more, after the others")
    fresh_kernels: bool = Field(False, description="a new kernel for every run, as Papermill does")
    timeout_s: float | None = Field(None, gt=0, description="longest that a run may take")
    limit: int | None = Field(None, ge=1, description="how many runs at most, this time")
    interactive: Interactive = True

    @classmethod
    def _rules(cls, values: Mapping[str, Any]) -> Iterator[str]:
        if not values["files"]:
            yield "there is nothing to run: set files to parameter files, or to a pattern of them"
        if values["ray_address"] and not values["ray"]:
            yield f"ray_address {shown(values['ray_address'])} is for Ray: set ray as well (--ray)"
        if values["gpus_per_worker"] is not None and not values["ray"]:
            yield "gpus_per_worker is for Ray (--ray): without it each worker has a GPU of its own"
        address = values["ray_address"]
        if isinstance(address, str) and not _ADDRESS.fullmatch(address):
            yield (
                f"ray_address {shown(address)} is no address: use HOST:PORT, "
                "ray://HOST:10001 or auto"
            )
