"""`verify`: does a recording say its text?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from chatter_nb.base.disk import is_there
from chatter_nb.base.errors import InputError, shown
from chatter_nb.cli.options import JsonOption, SetOption, pairs_of
from chatter_nb.cli.sources import looks_like_a_file
from chatter_nb.params.runs import SpeakParams

_EXIT_CODES = {"ok": 0, "doubtful": 1, "unchecked": 2}


def verify(
    recording: Annotated[Path, typer.Argument(metavar="RECORDING", help="An audio file.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A text file, or the words.")],
    param: SetOption = None,
    language: Annotated[str, typer.Option(help="The language's code, such as en.")] = "en",
    as_json: JsonOption = False,
) -> None:
    """Check that a recording says a text: every word, and nothing else.

    Exit code 0: it does; 1: doubtful, with the places; 2: bad input, or not to be checked.
    """
    from chatter_nb.runs.recordings import verify_recording

    overrides = pairs_of(param)
    is_file = is_there(Path(text))
    if not is_file and looks_like_a_file(text):
        raise InputError(f"there is no file {shown(text)}: give a text file, or words in quotes")
    if taken := sorted({"text", "text_file"} & overrides.keys()):
        raise InputError(f"-p {taken[0]}: the text is the second argument, a file or the words")
    values = SpeakParams.coerce({"language": language, **overrides})
    values |= {"text_file" if is_file else "text": text}
    params = SpeakParams.create(values, where="verify")
    is_watched = sys.stderr.isatty() or not as_json
    verdict = verify_recording(recording, params, *([_Bar()] if is_watched else []))
    typer.echo(json.dumps(verdict.as_dict(), ensure_ascii=False) if as_json else str(verdict))
    raise typer.Exit(_EXIT_CODES[verdict.verdict])


class _Bar:
    """A progress bar, after two seconds of work."""

    def __init__(self) -> None:
        from tqdm import tqdm

        self._bar = tqdm(unit="step", delay=2, leave=False)

    def __call__(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)
        if done == total:
            self._bar.close()
