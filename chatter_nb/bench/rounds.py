"""One timed round of a piece of work; run as a program, rounds on request, a line of JSON each.

The program is run with another tree's package as well, of a commit older than this file. It asks
of it no more than `generate_tts`, `convert_voice`, their parameters and run.json's fields, and
imports nothing else of it but what a kind of work is about.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

STORE = ".chunks"  # under the outputs root: what is finished is not made again


def one_round(kind: str, values: Mapping[str, Any], outputs: str) -> dict[str, Any]:
    """Do a piece of work and tell what it took, as the fields of `history.Round`.

    `speak` and `convert`: a whole run, `values` its parameters, every chunk made anew in the folder
    `outputs`. `load`: a speech model, `values` its engine, device and checkpoint. `notebooks`:
    `count` notebooks of so many `cells` through the warm kernel.
    """
    gc.collect()  # none of it in the middle of the round
    return _KINDS[kind](dict(values), outputs)


def synchronise() -> None:
    """Wait for a GPU that is in use; nothing where there is none."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()


def timed(call: Callable[[], object]) -> float:
    """Seconds that a call takes, to the end of what it left a GPU to do."""
    synchronise()
    start_s = time.perf_counter()
    call()
    synchronise()
    return time.perf_counter() - start_s


def _speak(values: dict[str, Any], outputs: str) -> dict[str, Any]:
    from chatter_nb import SpeakParams, generate_tts

    return _whole_run(generate_tts, SpeakParams(**values, outputs_dir=outputs), outputs)


def _convert(values: dict[str, Any], outputs: str) -> dict[str, Any]:
    from chatter_nb import ConvertParams, convert_voice

    return _whole_run(convert_voice, ConvertParams(**values, outputs_dir=outputs), outputs)


def _whole_run(run: Callable[[Any], Any], params: Any, outputs: str) -> dict[str, Any]:
    shutil.rmtree(Path(outputs, STORE), ignore_errors=True)
    found: list[Any] = []
    wall_s = timed(lambda: found.append(run(params)))
    record = found[0].record
    pieces = (*record.chunks, *getattr(record, "windows", ()))  # the first commits only spoke
    kept = sum(piece.cached for piece in pieces)
    if kept:
        raise RuntimeError(f"{kept} pieces were not made but found finished: nothing was measured")
    return {
        "wall_s": wall_s,
        "audio_s": record.audio_s,
        "stages_s": dict(record.stages_s),
        "peak_rss_mb": record.peak_rss_mb,
        "peak_gpu_mb": record.peak_gpu_mb,
    }


def _load(values: dict[str, Any], outputs: str) -> dict[str, Any]:
    """From nothing to a model that can speak: the imports of its libraries are part of it."""
    from chatter_nb import get_or_load_tts_model

    model = values["engine"], values["device"], values["checkpoint"]
    wall_s = timed(lambda: get_or_load_tts_model(*model))
    return _without_audio(wall_s, load=wall_s)


def _notebooks(values: dict[str, Any], outputs: str) -> dict[str, Any]:
    import nbformat
    import papermill
    from papermill.engines import papermill_engines

    from chatter_nb import warm

    papermill_engines.register("chatter-warm", warm.WarmEngine)
    cells = [nbformat.v4.new_code_cell(source) for source in values["cells"]]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})

    def execute() -> None:
        for _ in range(values["count"]):
            papermill.execute_notebook(
                notebook, None, engine_name="chatter-warm", progress_bar=False, log_output=False
            )

    return _without_audio(timed(execute))


def _without_audio(wall_s: float, **stages_s: float) -> dict[str, Any]:
    from chatter_nb import Stopwatch

    peak_rss_mb: Any = sys.modules[Stopwatch.__module__].peak_rss_mb  # wherever that lies

    about = {"wall_s": wall_s, "audio_s": 0.0, "stages_s": stages_s}
    return {**about, "peak_rss_mb": peak_rss_mb(), "peak_gpu_mb": None}


_KINDS = {"speak": _speak, "convert": _convert, "load": _load, "notebooks": _notebooks}


def _serve() -> None:
    """Answer each line of standard input by one of output, from the first on: who this is."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    import chatter_nb

    print(json.dumps({"package": chatter_nb.__file__}), file=answers, flush=True)
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {"round": one_round(**json.loads(line))}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}", "exit_code": 1}
            if hasattr(error, "exit_code"):  # one of the package's own, meant to be read
                answer = {"error": str(error), "exit_code": error.exit_code}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
