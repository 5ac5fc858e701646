"""The embedded voice: hibari, a small English text-to-speech that comes inside its package.

It speaks at once on any CPU, about a hundred times faster than real time. It is not Chatterbox:
no voice cloning, one pace knob.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import version

from hibari import Hibari, dsp
from hibari.voices import DEFAULT, VOICES

from chatter_nb.audio import Signal, check_signal
from chatter_nb.engines.base import ChunkInfo, ChunkRequest, Voice
from chatter_nb.errors import EngineError, InputError, ParamError


class HibariEngine:
    """`SpeechEngine` over `hibari.Hibari`, one model a voice, each loaded once.

    The version names hibari's FFT backend as well: scipy and numpy round differently, so that the
    same text has other samples.
    """

    name = "hibari"
    sample_rate = Hibari.sample_rate
    languages = ("en",)
    takes = frozenset({"speed"})
    device = "cpu"
    precision = "exact"
    rows = 1
    typical_rtf = 0.012  # 2 cores of a server CPU: 4.3 s for 6 min of audio

    def __init__(self, *, device: str = "cpu", checkpoint: str = "") -> None:
        if device != "cpu":
            raise EngineError(f"engine 'hibari' runs on the cpu only, not on '{device}'")
        if checkpoint:
            raise ParamError(
                "engine 'hibari' does not take checkpoint: its model is in its package"
            )
        self.version = f"{version('hibari-tts')}+{dsp.FFT_BACKEND}"
        self._speakers = {DEFAULT: Hibari(DEFAULT)}
        # Lexicon and tagger load on first use (about 0.6 s): do it here, as part of loading.
        self._speakers[DEFAULT].phonemize("ready")
        self._says = cache(self._makes_a_sound)

    def prepare_voice(self, voice: str) -> Voice:
        """One of hibari's voices; all but the embedded one are downloaded on first use (8 MB)."""
        name = voice or DEFAULT
        if name not in VOICES:
            raise ParamError(
                f"engine 'hibari' has no voice '{name}'; it has: {', '.join(VOICES)}. "
                "It cannot clone a recording: for that choose engine: chatterbox"
            )
        if name not in self._speakers:
            try:
                self._speakers[name] = Hibari(name)
            except RuntimeError as error:  # hibari's own message names the file and its place
                raise EngineError(str(error)) from error
        return Voice(name, VOICES[name]["sha256"])

    def check_text(self, text: str) -> None:
        """Refuse letters and digits that hibari passes over in silence, such as 你 or ع."""
        foreign = {char for char in text if char.isalnum() and not char.isascii()}
        lost = sorted(char for char in foreign if not self._says(char))
        if lost:
            raise InputError(
                f"engine 'hibari' would leave out {' '.join(lost[:12])} "
                f"({len(lost)} kinds of letter) in {_shorten(text)!r}: it speaks English. "
                "Replace them (replacements) or choose engine: chatterbox-multilingual"
            )

    def synthesize(
        self, requests: Sequence[ChunkRequest]
    ) -> Iterator[tuple[int, Signal, ChunkInfo]]:
        for request in requests:
            speaker = self._speakers[request.voice.name]
            audio = speaker(request.text, seed=request.seed, **request.knobs)
            if not len(audio):
                raise EngineError(f"hibari made no sound of {_shorten(request.text)!r}")
            where = f"hibari, chunk {request.index}"
            yield request.index, check_signal(audio, where=where), ChunkInfo()

    def _makes_a_sound(self, char: str) -> bool:
        return any(part.strip() for part in self._speakers[DEFAULT].phonemize(char))


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
