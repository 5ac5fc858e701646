"""The command line: `chatter-nb …`. Thin: every command calls one function and prints what it says.

Exit codes: 0 done, 1 failed run or doubtful recording, 2 bad input, 130 interrupted (run the same
again to resume).
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from chatter_nb.base.errors import ChatterError
from chatter_nb.base.version import __version__
from chatter_nb.cli.batch import batch
from chatter_nb.cli.bench import bench
from chatter_nb.cli.contents import contents
from chatter_nb.cli.loudness import loudness
from chatter_nb.cli.names import names
from chatter_nb.cli.pages import gallery, page, review, revise
from chatter_nb.cli.run import convert, speak
from chatter_nb.cli.serve import app as open_app
from chatter_nb.cli.serve import serve
from chatter_nb.cli.tidy import check, clean, doctor, fetch, selftest
from chatter_nb.cli.verify import verify
from chatter_nb.cli.voices import app as voices_app

INTERRUPTED = 130

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Text to speech and voice conversion as parameterised notebooks, and without them.",
)
_RUNS = (speak, convert, contents, names, batch, verify, review, revise, page, gallery, check)
for command in (*_RUNS, loudness, doctor, selftest, fetch, clean, bench):
    app.command()(command)
app.command()(serve)
app.command("app")(open_app)
app.add_typer(voices_app, name="voices")


@app.callback(invoke_without_command=True)
def _version(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def _from_here(message: str) -> str:
    """The message with the paths in it as a person here writes them: without this folder's own."""
    return re.sub(rf"(?<![\w:/.\\-]){re.escape(str(Path.cwd()) + os.sep)}", "", message)


def main() -> None:
    """Entry point: errors become a sentence and an exit code; only bugs show a traceback."""
    try:
        app()
    except ChatterError as error:
        message = "\n".join([f"error: {error}", *getattr(error, "__notes__", [])])
        typer.echo(_from_here(message), err=True)
        sys.exit(error.exit_code)
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:  # typer takes the KeyboardInterrupt and says nothing
            typer.echo("interrupted: what is finished is kept; run the same to resume", err=True)
        raise
