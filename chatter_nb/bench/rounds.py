"""One timed round of a piece of work. As a program: rounds on request, a line of JSON for each.

The program also runs with another tree's package, of a commit older than this file. It uses of that
package only `generate_tts`, `convert_voice`, their parameters, run.json's fields, and what a kind
of work is about.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

STORE = ".chunks"  # under the outputs root: finished chunks, which a run would use again


def one_round(kind: str, values: Mapping[str, Any], outputs: str) -> dict[str, Any]:
    """Do a piece of work; returns its seconds and memory, as the fields of `history.Round`.

    Kinds of work: `speak` and `convert` are a whole run with the parameters `values`, every chunk
    made anew in the folder `outputs`. `load` loads a speech model; `values` are its engine, device
    and checkpoint. `notebooks` runs a notebook of `cells` through the warm kernel, `count` times.
    """
    gc.collect()  # now, instead of in the middle of the round
    return _KINDS[kind](dict(values), outputs)


def synchronise() -> None:
    """Wait until a GPU that is in use has finished; without a GPU, return at once."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """The seconds that a call takes, its work on a GPU included, and what the call returns."""
    synchronise()
    start_s = time.perf_counter()
    returned = call()
    synchronise()
    return time.perf_counter() - start_s, returned


def _speak(values: dict[str, Any], outputs: str) -> dict[str, Any]:
    from chatter_nb import SpeakParams, generate_tts

    return _whole_run(generate_tts, SpeakParams(**values, outputs_dir=outputs), outputs)


def _convert(values: dict[str, Any], outputs: str) -> dict[str, Any]:
    from chatter_nb import ConvertParams, convert_voice

    return _whole_run(convert_voice, ConvertParams(**values, outputs_dir=outputs), outputs)


def _whole_run(run: Callable[[Any], Any], params: Any, outputs: str) -> dict[str, Any]:
    shutil.rmtree(Path(outputs, STORE), ignore_errors=True)
    wall_s, result = timed(lambda: run(params))
    record = result.record
    pieces = (*record.chunks, *getattr(record, "windows", ()))  # the first commits only spoke
    cached = sum(piece.cached for piece in pieces)
    if cached:
        raise RuntimeError(
            f"{cached} pieces were not made but found finished: nothing was measured"
        )
    return {
        "wall_s": wall_s,
        "audio_s": record.audio_s,
        "stages_s": dict(record.stages_s),
        "peak_rss_mb": record.peak_rss_mb,
        "peak_gpu_mb": record.peak_gpu_mb,
    }


def _load(values: dict[str, Any], outputs: str) -> dict[str, Any]:
    """Load a model that can speak; the imports of its libraries are timed with it."""
    from chatter_nb import get_or_load_tts_model

    model = values["engine"], values["device"], values["checkpoint"]
    wall_s, _ = timed(lambda: get_or_load_tts_model(*model))
    return _without_audio(wall_s, load=wall_s)


def _notebooks(values: dict[str, Any], outputs: str) -> dict[str, Any]:
    import papermill
    from papermill.engines import papermill_engines

    from chatter_nb import warm

    papermill_engines.register("chatter-warm", warm.WarmEngine)
    notebook = notebook_of(values["cells"])

    def execute() -> None:
        for _ in range(values["count"]):
            papermill.execute_notebook(
                notebook, None, engine_name="chatter-warm", progress_bar=False, log_output=False
            )

    return _without_audio(timed(execute)[0])


def notebook_of(sources: Iterable[str]) -> Any:
    """A notebook for this Python with a code cell for each source."""
    from nbformat.v4 import new_code_cell, new_notebook

    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=list(map(new_code_cell, sources)), metadata={"kernelspec": kernel})


def _without_audio(wall_s: float, **stages_s: float) -> dict[str, Any]:
    from chatter_nb import Stopwatch

    peak_rss_mb: Any = sys.modules[Stopwatch.__module__].peak_rss_mb  # wherever that lies

    return {
        "wall_s": wall_s,
        "audio_s": 0.0,
        "stages_s": stages_s,
        "peak_rss_mb": peak_rss_mb(),
        "peak_gpu_mb": None,
    }


_KINDS = {"speak": _speak, "convert": _convert, "load": _load, "notebooks": _notebooks}


def _serve() -> None:
    """Write the package's path, then an answer to each line of standard input, as lines of JSON."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to standard error
    import chatter_nb

    print(json.dumps({"package": chatter_nb.__file__}), file=answers, flush=True)
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {"round": one_round(**json.loads(line))}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}", "exit_code": 1}
            if hasattr(error, "exit_code"):  # an error of the package, written for a reader
                answer = {"error": str(error), "exit_code": error.exit_code}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    _serve()
