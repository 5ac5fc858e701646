"""The second witness: finds every word of the text in the audio, and says what does not fit.

Each word may be left out at a cost, and between words any sounds may stand at a cost: the search
for the cheapest explanation shows words that are missing and speech that is no word of the text.
English only. Deterministic: a chunk's result does not depend on the chunks before it.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from chatter_nb.audio.reading import Signal, resample
from chatter_nb.audio.words import end_at_energy, start_at_energy
from chatter_nb.base.errors import UnavailableError
from chatter_nb.verify.cuts import levels_db
from chatter_nb.verify.findings import Expectation, Finding, Report
from chatter_nb.verify.judging import NAME, Judged, Segment, Step
from chatter_nb.verify.spelling import INSTALL, is_unsure, pieces, readings

VERSION = "3"
LANGUAGES = ("en",)
RATE_HZ = 16_000

# Calibrated on clean and on spoiled chunks; see the README of the room.
SKIP_PROBABILITY = 1e-2
SOUND_PROBABILITY = 3e-2
# Sounds that stand for any speech that is no word of the text; all of them would cost twice as
# much time and catch no more.
_ANY_SOUND = "AA AE AH AY EH ER IY IH OW UW B D F G K L M N P R S SH T W Z"
_VARIANT = re.compile(r"\(\d+\)$")
# From phonemes as hibari writes them (misaki's alphabet) to those of the dictionary.
# Longest first: a vowel and its "ɹ" are one sound in the dictionary.
_PAIRS = {"ɜɹ": "ER", "əɹ": "ER", "ɚ": "ER", "dʒ": "JH", "tʃ": "CH"}
_SOUNDS_TEXT = """
A:EY I:AY W:AW Y:OY O:OW Q:OW æ:AE a:AE ɑ:AA ɒ:AA ɔ:AO ɛ:EH ɜ:ER e:EH ɪ:IH ᵻ:IH i:IY o:OW u:UW
ʊ:UH ʌ:AH ə:AH ᵊ:AH b:B d:D f:F ɡ:G g:G h:HH j:Y k:K l:L m:M n:N ŋ:NG p:P ɹ:R r:R s:S ʃ:SH t:T T:D
ɾ:D ʔ:T θ:TH ð:DH v:V w:W z:Z ʒ:ZH ʤ:JH ʧ:CH
"""  # "T" and "ɾ" are flaps, as in "water"
_SOUNDS: dict[str, str] = dict(pair.split(":") for pair in _SOUNDS_TEXT.split())


class Aligner:
    """pocketsphinx with its English model. `phonemes` gives sounds of words it does not know."""

    def __init__(self, phonemes: Callable[[str], str | None] | None = None) -> None:
        self._phonemes = phonemes
        self._sources: dict[str, str] = {}  # of words: "dictionary", "phonemes", or "" if unknown

    @property
    def version(self) -> str:
        """Changes where a chunk's result may change."""
        return f"{VERSION}+{version('pocketsphinx')}"

    def listen(self, audio: Signal, sample_rate: int, expected: Expectation) -> Report:
        """Findings, and the times of the words as far as all were heard."""
        text_words = expected.text.split()
        steps = list(self._steps(text_words))
        if not steps:
            return Report()
        at_rate = resample(audio, sample_rate, RATE_HZ)
        segments = self._explain(at_rate, steps)
        unknown = sorted({text_words[step.place] for step in steps if not step.ways})
        not_checked = (f"unknown to the aligner: {', '.join(unknown)}",) if unknown else ()
        if segments is None:
            reason = "the audio does not fit the text, with whatever words left out"
            end_s = len(audio) / sample_rate
            misfit = Finding("not aligned", 0, end_s, "", expected.text, reason, NAME)
            return Report((misfit,), None, not_checked)
        judged = Judged(steps, segments, text_words, levels_db(at_rate, RATE_HZ), self._sounds_of)
        words = judged.word_times()
        if words:
            words = start_at_energy(words, at_rate, sample_rate=RATE_HZ)
            words = end_at_energy(words, at_rate, sample_rate=RATE_HZ)
        return Report(tuple(judged.findings()), words, not_checked)

    def load(self) -> None:
        """Load the model now. Raises `UnavailableError` with the cure if it is not installed."""
        _ = self._decoder

    @cached_property
    def _decoder(self) -> Any:
        try:
            import pocketsphinx
        except ImportError as error:
            raise UnavailableError(f"the aligner needs pocketsphinx: {INSTALL}") from error
        model = pocketsphinx.get_model_path
        with tempfile.TemporaryDirectory() as folder:
            fillers = Path(folder) / "fillers"
            lines = ["<s> SIL", "</s> SIL", "<sil> SIL", "[NOISE] +NSN+"]
            fillers.write_text("\n".join(lines + [f"[{s}] {s}" for s in _ANY_SOUND.split()]) + "\n")
            return pocketsphinx.Decoder(
                hmm=model("en-us/en-us"),
                dict=model("en-us/cmudict-en-us.dict"),
                fdict=str(fillers),
                lm=None,
                fillprob=SOUND_PROBABILITY,
                loglevel="FATAL",
            )

    def _steps(self, text_words: Sequence[str]) -> Iterator[Step]:
        for place, word in enumerate(text_words):
            if is_unsure(word):
                yield Step(place, ())
                continue
            for piece in pieces(word):
                ways = (tuple(map(self._entry, way)) for way in readings(piece))
                yield Step(place, tuple(way for way in ways if all(way)))

    def is_invented(self, word: str) -> bool:
        """Whether a word is in no dictionary, but its sounds are known from its phonemes."""
        return bool(self._entry(word)) and self._sources[word] == "phonemes"

    def _entry(self, word: str) -> str:
        """The word's entry in the dictionary, added if its sounds are known; "" if unknown."""
        if word not in self._sources:
            if self._decoder.lookup_word(word):
                self._sources[word] = "dictionary"
            else:
                self._sources[word] = "phonemes" if self._add(word) else ""
        return word if self._sources[word] else ""

    def _add(self, word: str) -> bool:
        phonemes = self._phonemes(word) if self._phonemes else None
        sounds = arpabet(phonemes or "")
        if not sounds:
            return False
        self._decoder.add_word(word, sounds, False)
        return True

    def _sounds_of(self, label: str) -> int:
        return len((self._decoder.lookup_word(label) or "").split())

    def _explain(self, audio: Signal, steps: Sequence[Step]) -> list[Segment] | None:
        """The likeliest way through the text; None if the audio fits none."""
        decoder = self._decoder
        network = decoder.create_fsg("chunk", 0, len(steps), _arcs(steps))
        decoder.add_fsg("chunk", network)
        decoder.activate_search("chunk")
        decoder.reinit_feat()  # else the noise of the chunk before would shift this one's scores
        decoder.start_utt()
        pcm = (np.clip(audio, -1, 1) * 32767).astype("<i2").tobytes()
        decoder.process_raw(pcm, full_utt=True)
        decoder.end_utt()
        if decoder.hyp() is None:
            return None
        segments = []
        for found in decoder.seg():
            label, score = _VARIANT.sub("", found.word), math.log(max(found.ascore, 1e-300))
            segments.append(Segment(label, found.start_frame, found.end_frame + 1, score))
        return segments


def _arcs(steps: Sequence[Step]) -> list[tuple[Any, ...]]:
    """The network of a text: a state before each step and one at the end, more inside numbers."""
    arcs: list[tuple[Any, ...]] = []
    states = len(steps) + 1
    for at, step in enumerate(steps):
        arcs.append((at, at + 1, SKIP_PROBABILITY if step.ways else 1.0))
        for way in step.ways:
            inner = [*range(states, states + len(way) - 1)]
            states += len(inner)
            for start, end, word in zip([at, *inner], [*inner, at + 1], way, strict=True):
                arcs.append((start, end, 1.0, word))
    return arcs


def arpabet(phonemes: str) -> str:
    """The sounds of a word, spaces between; marks of stress and length are left out."""
    sounds, at = [], 0
    while at < len(phonemes):
        pair = phonemes[at : at + 2]
        if pair in _PAIRS:
            sounds.append(_PAIRS[pair])
            at += 2
            continue
        if phonemes[at] in _SOUNDS:
            sounds.append(_SOUNDS[phonemes[at]])
        at += 1
    return " ".join(sounds)
