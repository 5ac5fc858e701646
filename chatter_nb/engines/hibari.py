"""The embedded voice: hibari, a small English text-to-speech that comes inside its package.

It speaks at once on any CPU, about a hundred times faster than real time. It is not Chatterbox:
no voice cloning, one pace knob.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
from hibari import SAMPLE_RATE, dsp
from hibari.voices import DEFAULT, VOICES

from chatter_nb.audio.join import trim_edges
from chatter_nb.audio.reading import Signal, check_signal
from chatter_nb.base.errors import EngineError, ParamError, shorten
from chatter_nb.engines.base import ChunkInfo, ChunkRequest, OnPart, Voice
from chatter_nb.engines.hibari_text import Reader, plain
from chatter_nb.engines.hibari_times import TimedHibari
from chatter_nb.engines.offered import no_voice
from chatter_nb.engines.registry import TTS_ENGINES
from chatter_nb.text.cuts import clauses
from chatter_nb.text.sentences import sentences

if TYPE_CHECKING:
    from chatter_nb.audio.words import WordTime
    from chatter_nb.engines.voices import Library

CLAUSE_CHARS = 20  # a part has at least: shorter ones sound chopped
# With 30 ms at both sides, about what hibari itself makes at a comma and between sentences.
CLAUSE_PAUSE_S, SENTENCE_PAUSE_S = 0.2, 0.5


class HibariEngine:
    """`SpeechEngine` over `hibari.Hibari`: a model for each voice, loaded once.

    A chunk comes with the times of its words, except if hibari changed: the run is then warned.
    Its parts are clauses of the first sentence, then the rest.

    The version also names hibari's FFT backend: scipy and numpy round differently, so the same
    text gets other samples.
    """

    name = "hibari"
    sample_rate = SAMPLE_RATE
    languages = ("en",)
    accepts = TTS_ENGINES[name].accepts
    device = "cpu"
    precision = "exact"
    rows = 1
    watermarked = False
    min_voice_s = None
    speaks_in_parts = True
    typical_rtf = 0.01  # 2-core server CPU, `bench embedded`: about 3 s for 347 s of audio

    def __init__(self, *, device: str = "cpu", checkpoint: str = "") -> None:
        self.version = f"{version('hibari-tts')}+{dsp.FFT_BACKEND}"
        self._speakers = {DEFAULT: TimedHibari(DEFAULT)}
        # Lexicon and tagger load on first use (about 0.6 s): do it here, as part of loading.
        self._speakers[DEFAULT].phonemize("ready")
        self._reader = Reader(self._speakers[DEFAULT].g2p)

    def prepare_voice(self, voice: str, library: Library) -> Voice:
        """A voice of hibari; all but the embedded voice are downloaded on first use (8 MB)."""
        name = voice or DEFAULT
        if name not in VOICES:
            raise ParamError(no_voice(self.name, name, VOICES))
        if name not in self._speakers:
            try:
                self._speakers[name] = TimedHibari(name)
            except RuntimeError as error:  # hibari's own message names the file and its place
                raise EngineError(str(error)) from error
        return Voice(name, VOICES[name]["sha256"])

    def check_text(self, text: str, language: str) -> list[str]:
        """Refuse text that hibari would leave out, spell (such as 你) or fail at.

        Returns notes on text that it does not say as it is written: see `hibari_text`.
        """
        return self._reader.check(text)

    def synthesize(
        self, requests: Sequence[ChunkRequest], *, on_part: OnPart | None = None
    ) -> Iterator[tuple[int, Signal, ChunkInfo]]:
        for number, request in enumerate(requests):
            speaker = self._speakers[request.voice.name]
            in_parts = on_part is not None and not number
            if on_part and in_parts:
                for part, pause_s in _parts(request.text):
                    audio, _ = self._said(replace(request, text=part))
                    pause = np.zeros(round(SAMPLE_RATE * pause_s), np.float32)
                    trimmed = trim_edges(audio, sample_rate=SAMPLE_RATE)
                    on_part(np.concatenate([trimmed, pause]))
            audio, words = self._said(request)
            if not len(audio):
                text = shorten(request.text, 60)
                raise EngineError(f"hibari, chunk {request.index}: no sound of {text!r}")
            warnings = (speaker.trouble,) if speaker.trouble and not number else ()
            yield request.index, audio, ChunkInfo(words=words, warnings=warnings, in_parts=in_parts)

    def _said(self, request: ChunkRequest) -> tuple[Signal, tuple[WordTime, ...] | None]:
        """The audio of a request, and its words. Raises `EngineError` where hibari fails."""
        speaker, where = self._speakers[request.voice.name], f"hibari, chunk {request.index}"
        try:
            audio, words = speaker.speak(plain(request.text), seed=request.seed, **request.knobs)
        except Exception as error:  # what reads the text may raise anything
            text = shorten(request.text, 60)
            raise EngineError(
                f"{where}: cannot read {text!r} ({type(error).__name__}: {error})"
            ) from error
        return check_signal(audio, where=where), words


def _parts(text: str) -> list[tuple[str, float]]:
    """The clauses of the first sentence, and the rest of the text, with the pause after each."""
    first, *rest = sentences(text, "en")
    *earlier, last = clauses(first, CLAUSE_CHARS)
    whole = [part for part in (last, "".join(rest)) if part]
    return [(part, CLAUSE_PAUSE_S) for part in earlier] + [
        (part, SENTENCE_PAUSE_S) for part in whole
    ]
