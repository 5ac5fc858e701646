"""The embedded voice: hibari, a small English text-to-speech that comes inside its package.

It speaks at once on any CPU, about a hundred times faster than real time. It is not Chatterbox:
no voice cloning, one pace knob.
"""

from __future__ import annotations

import re
import unicodedata
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
        self.version = f"{version('hibari-tts')}+{dsp.FFT_BACKEND}"
        self._speakers = {DEFAULT: Hibari(DEFAULT)}
        # Lexicon and tagger load on first use (about 0.6 s): do it here, as part of loading.
        self._speakers[DEFAULT].phonemize("ready")
        self._phonemes = cache(self._speakers[DEFAULT].phonemize)

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

    def check_text(self, text: str) -> list[str]:
        """Refuse letters and digits that hibari passes over in silence or spells, such as 你 or Ж.

        Returns a note on symbols it does not say where they stand ("5 €", "x ≥ 5", emoji) and on
        powers it misreads ("10⁶").
        """
        foreign = {char for char in text if char.isalnum() and not char.isascii()}
        lost = sorted(char for char in foreign if not self._says_letter(char))
        if lost:
            raise InputError(
                f"engine 'hibari' would leave out or spell {' '.join(lost[:12])} "
                f"({len(lost)} kinds of letter) in {_around(text, lost[0])!r}: it speaks English. "
                "Replace them (replacements) or choose engine: chatterbox-multilingual"
            )
        words = text.split()
        pairs = zip(["", *words], words, strict=False)
        unsaid = sorted({c for before, word in pairs for c in self._unsaid(before, word)})
        notes = []
        if unsaid:
            notes.append(f"hibari passes over {' '.join(unsaid)}: to hear them, use replacements")
        if power := _POWER.search(text):
            notes.append(f"hibari reads the power in {power[0]!r} as digits: use replacements")
        return notes

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

    def _says_letter(self, char: str) -> bool:
        latin = "LATIN" in unicodedata.name(unicodedata.normalize("NFKC", char)[0], "")
        return latin or (char.isnumeric() and any(map(str.strip, self._phonemes(char))))

    def _unsaid(self, before: str, word: str) -> list[str]:
        """Symbols of a word that make no difference to how it is said."""
        symbols = {char for char in word if unicodedata.category(char) in _SYMBOLS}
        context = word if any(map(str.isalnum, word)) else f"{before} {word}"
        return [
            char
            for char in symbols
            if self._sounds(context) == self._sounds(context.replace(char, " "))
        ]

    def _sounds(self, text: str) -> list[str]:
        return [char for part in self._phonemes(text) for char in part if char.isalpha()]


# Currency, mathematical and other symbols (emoji among them): meant to be said, unlike marks.
_SYMBOLS = ("Sc", "Sm", "So")
_POWER = re.compile(r"\w*\d[⁰¹²³⁴-⁹]+")


def _around(text: str, char: str) -> str:
    at = text.index(char)
    return _shorten(text[max(0, at - 20) : at + 40])


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
