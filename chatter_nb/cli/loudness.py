"""`loudness`: the levels of audio files, and whether they meet a shop's numbers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from chatter_nb.base.errors import InputError, shown
from chatter_nb.cli.options import JsonOption


def loudness(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Audio files.")],
    target: Annotated[
        str, typer.Option(help="The target to meet: acx, podcast or r128; without it all are told.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Measure audio files: RMS, LUFS, true peak, noise floor; pass or fail by target.

    Exit code 0: measured, and every file meets the target that is asked for; 1: a file does not.
    """
    from chatter_nb.audio.measuring import measure_file
    from chatter_nb.audio.targets import TARGETS

    if target and target not in TARGETS:
        raise InputError(f"--target {shown(target)}: there is {' '.join(TARGETS)}")
    targets = [TARGETS[target]] if target else [*TARGETS.values()]
    rows = []
    for file in files:
        measured = measure_file(file)
        failures = {asked.name: asked.file_failures(measured) for asked in targets}
        rows.append({"file": str(file), **asdict(measured), "failures": failures})
        if not as_json:
            levels = measured.loudness
            typer.echo(
                f"{file}: {measured.format_text}, {measured.sample_rate:,} Hz, "
                f"{'mono' if levels.channels == 1 else 'stereo'}, {levels.duration_s:.1f} s\n"
                f"  RMS {levels.rms_db:.1f} dB, loudness {levels.lufs:.1f} LUFS, "
                f"true peak {levels.true_peak_db:.1f} dB, noise floor {levels.floor_db:.1f} dB"
            )
            for name, words in failures.items():
                typer.echo(f"  {name}: {'fails: ' + '; '.join(words) if words else 'passes'}")
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
    if target and any(row["failures"][target] for row in rows):
        raise typer.Exit(1)
