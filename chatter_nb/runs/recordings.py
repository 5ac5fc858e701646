"""Does a recording say its text? Any recording: a narrator's, another program's, one of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chatter_nb.audio.reading import read_audio
from chatter_nb.base.errors import InputError, shorten
from chatter_nb.base.wording import count, minutes, place
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.checking import make_checker
from chatter_nb.runs.outline import spoken_text
from chatter_nb.verify.findings import Judgement
from chatter_nb.verify.recogniser import WINDOW_S
from chatter_nb.verify.recording import Piece, check_recording


@dataclass(frozen=True)
class RecordingVerdict:
    """What the witnesses say of a recording, piece by piece; times count from its start."""

    recording: str
    audio_s: float
    pieces: tuple[Piece, ...]
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Judgement:
        """Doubtful if a piece is, else not checked if a piece is not, else ok."""
        verdicts = {piece.verdict.verdict for piece in self.pieces if piece.verdict}
        ranked: tuple[Judgement, ...] = ("doubtful", "unchecked", "ok")
        return next((judgement for judgement in ranked if judgement in verdicts), "unchecked")

    def as_dict(self) -> dict[str, Any]:
        """For machines: the verdict, and every piece with its text, findings and words."""
        return {"verdict": self.verdict, **asdict(self)}

    def __str__(self) -> str:
        lines = [
            f"{place(finding.start_s)}  {finding.reason}  (in “{shorten(piece.text, 60)}”)"
            for piece in self.pieces
            if piece.verdict
            for finding in sorted(piece.verdict.findings, key=lambda found: found.start_s)
        ]
        unchecked = self._of("unchecked")
        lines += [
            f"{place(piece.start_s)}  {note}"
            for piece in unchecked
            if piece.verdict
            for note in piece.verdict.notes
        ]
        summary = (
            f"{self.recording}: {self.verdict}; {minutes(self.audio_s)} in "
            f"{count(len(self.pieces), 'piece')}, {len(self._of('doubtful'))} doubtful, "
            f"{len(unchecked)} not checked"
        )
        return "\n".join([*lines, *self.notes, summary])

    def _of(self, judgement: Judgement) -> list[Piece]:
        return [p for p in self.pieces if p.verdict and p.verdict.verdict == judgement]


def verify_recording(
    recording: Path,
    params: SpeakParams,
    on_piece: Callable[[int, int], object] = lambda done, total: None,
) -> RecordingVerdict:
    """Check a recording against `params.text` or its file, at the level `params.verify`.

    The level is full unless it is named. Raises `InputError` for input that cannot be checked.
    """
    if params.verify == "off":
        raise InputError("verify: off checks nothing: choose fast or full")
    level = "full" if params.verify == "auto" else params.verify
    language = params.language or "en"
    text = spoken_text(params)
    checker = make_checker(level, params.asr_model, None, False)
    notes = checker.prepare(language)
    audio, rate = read_audio(recording)
    seconds = len(audio) / rate
    if checker.recogniser is None and seconds > WINDOW_S:
        raise InputError(
            f"{recording} has {seconds:.0f} s: verify: fast hears up to {WINDOW_S} s at once; "
            "verify: full finds each part of the text in a recording of any length"
        )
    found = check_recording(checker, checker.recogniser, audio, rate, text, language, on_piece)
    return RecordingVerdict(recording.name, seconds, tuple(found), notes)
