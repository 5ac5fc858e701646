"""The embedded voice: hibari, a small English text-to-speech that comes inside its package.

It speaks at once on any CPU, about a hundred times faster than real time. It is not Chatterbox:
no voice cloning, one pace knob.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from hibari import Hibari, dsp
from hibari.voices import DEFAULT, VOICES

from chatter_nb.audio import Signal, check_signal
from chatter_nb.budget import ask
from chatter_nb.engines.base import ChunkInfo, ChunkRequest, Voice
from chatter_nb.engines.registry import TTS_ENGINES
from chatter_nb.errors import EngineError, InputError, ParamError, shown

if TYPE_CHECKING:
    from chatter_nb.voices import Library

# A symbol that was said in so many places is taken to be said in the others of a long text.
CONTEXTS_A_SYMBOL = 400


class HibariEngine:
    """`SpeechEngine` over `hibari.Hibari`, one model a voice, each loaded once.

    The version names hibari's FFT backend as well: scipy and numpy round differently, so that the
    same text has other samples.
    """

    name = "hibari"
    sample_rate = Hibari.sample_rate
    languages = ("en",)
    takes = TTS_ENGINES[name].takes
    device = "cpu"
    precision = "exact"
    rows = 1
    watermarked = False
    min_voice_s = None
    typical_rtf = 0.01  # 2-core server CPU, `bench embedded`: about 3 s for 347 s of audio

    def __init__(self, *, device: str = "cpu", checkpoint: str = "") -> None:
        self.version = f"{version('hibari-tts')}+{dsp.FFT_BACKEND}"
        self._speakers = {DEFAULT: Hibari(DEFAULT)}
        # Lexicon and tagger load on first use (about 0.6 s): do it here, as part of loading.
        self._speakers[DEFAULT].phonemize("ready")
        self._phonemes = lru_cache(CONTEXTS_A_SYMBOL)(self._read)

    def prepare_voice(self, voice: str, library: Library) -> Voice:
        """One of hibari's voices; all but the embedded one are downloaded on first use (8 MB)."""
        name = voice or DEFAULT
        if name not in VOICES:
            raise ParamError(
                f"engine 'hibari' has no voice {shown(name)}; it has: {', '.join(VOICES)}. "
                "It cannot clone a recording: for that choose engine: chatterbox"
            )
        if name not in self._speakers:
            try:
                self._speakers[name] = Hibari(name)
            except RuntimeError as error:  # hibari's own message names the file and its place
                raise EngineError(str(error)) from error
        return Voice(name, VOICES[name]["sha256"])

    def check_text(self, text: str, language: str) -> list[str]:
        """Refuse letters and digits that hibari passes over in silence or spells, such as 你 or Ж.

        Returns a note on symbols it does not say where they stand ("5 €", "x ≥ 5", emoji) and on
        powers it misreads ("10⁶").
        """
        text = _plain(text)
        words = text.split()
        foreign = {char for char in text if char.isalnum() and not char.isascii()}
        lost = sorted(char for char in foreign if not self._says_letter(char))
        if lost:
            raise InputError(
                f"engine 'hibari' would leave out or spell {' '.join(lost[:12])} "
                f"({len(lost)} kinds of letter) in {_around(text, lost[0])!r}: it speaks English. "
                "Replace them (replacements) or choose engine: chatterbox-multilingual"
            )
        for index, word in enumerate(words):
            if _ODD_DIGIT.search(word):  # hibari reads words by what stands beside them
                self._phonemes(" ".join(words[max(0, index - 1) : index + 2]))
        unsaid = self._unsaid_symbols(words)
        notes = []
        if unsaid:
            notes.append(
                f"hibari passes over {' '.join(sorted(unsaid))}: to hear them, use replacements"
            )
        if power := _POWER.search(text):
            notes.append(f"hibari reads the power in {power[0]!r} as digits: use replacements")
        return notes

    def synthesize(
        self, requests: Sequence[ChunkRequest]
    ) -> Iterator[tuple[int, Signal, ChunkInfo]]:
        for request in requests:
            speaker = self._speakers[request.voice.name]
            try:
                audio = speaker(_plain(request.text), seed=request.seed, **request.knobs)
            except ValueError as error:
                raise EngineError(f"hibari cannot read {_shorten(request.text)!r}") from error
            if not len(audio):
                raise EngineError(f"hibari made no sound of {_shorten(request.text)!r}")
            where = f"hibari, chunk {request.index}"
            yield request.index, check_signal(audio, where=where), ChunkInfo()

    def _read(self, text: str) -> list[str]:
        """Phonemes, by the embedded voice. Raises `InputError` where hibari fails, as at "¹a"."""
        ask("how hibari reads it")
        try:
            return list(self._speakers[DEFAULT].phonemize(text))
        except ValueError as error:
            raise InputError(
                f"engine 'hibari' cannot read {_shorten(text)!r}: write its digits as 0 to 9 "
                "(replacements)"
            ) from error

    def _says_letter(self, char: str) -> bool:
        if char in _MICRO or unicodedata.category(char) == "Lm":  # ˈ ː ʰ: marks, not letters
            return True
        latin = "LATIN" in unicodedata.name(unicodedata.normalize("NFKC", char)[0], "")
        return latin or (char.isnumeric() and any(map(str.strip, self._phonemes(char))))

    def _unsaid_symbols(self, words: list[str]) -> set[str]:
        """Symbols that somewhere make no difference to how their word is said."""
        unsaid: set[str] = set()
        tried: Counter[str] = Counter()
        for before, word in zip(["", *words], words, strict=False):
            symbols = {c for c in word if c in _MICRO or unicodedata.category(c) in _SYMBOLS}
            context = word if any(map(str.isalnum, word)) else f"{before} {word}"
            for char in symbols - unsaid:
                tried[char] += 1
                without = context.replace(char, " ")
                if tried[char] < CONTEXTS_A_SYMBOL and (
                    self._sounds(context) == self._sounds(without)
                ):
                    unsaid.add(char)
        return unsaid

    def _sounds(self, text: str) -> list[str]:
        return [char for part in self._phonemes(text) for char in part if char.isalpha()]


# Currency, mathematical and other symbols (emoji among them): meant to be said, unlike marks.
_SYMBOLS = ("Sc", "Sm", "So")
_MICRO = "\u00b5\u03bc"  # the sign and the letter: "5 µm"
_POWER = re.compile(r"(?<!\w)\w*\d[⁰¹²³⁴-⁹]+")
# Raised, lowered and circled digits: in some words hibari takes them for numbers, and then fails.
_ODD_DIGIT = re.compile(
    "[" + "".join(c for c in map(chr, range(0x11000)) if c.isdigit() and not c.isdecimal()) + "]"
)


_APOSTROPHES = str.maketrans("\u02bc\u02bb\u02b9\u2032", "''''")


def _plain(text: str) -> str:
    """Text as hibari knows it: plain apostrophes, Roman numerals in ordinary letters."""
    return "".join(
        unicodedata.normalize("NFKC", char) if unicodedata.category(char) == "Nl" else char
        for char in text.translate(_APOSTROPHES)
    )


def _around(text: str, char: str) -> str:
    at = text.index(char)
    return _shorten(text[max(0, at - 20) : at + 40])


def _shorten(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
