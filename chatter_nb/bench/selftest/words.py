"""Checks by ear: are the words there, and is a conversion like its target?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import soundfile

from chatter_nb.audio.reading import Signal, read_audio, resample
from chatter_nb.base.errors import InputError
from chatter_nb.bench.selftest.result import TELL, NotRun, Result, judged
from chatter_nb.bench.selftest.subject import Subject, sentences
from chatter_nb.engines.checkpoints import cached, locate
from chatter_nb.params.runs import ConvertParams
from chatter_nb.runs.convert import plan_conversion, render_conversion
from chatter_nb.setup.colab import sample_folder
from chatter_nb.verify.recogniser import Recogniser, unlooped
from chatter_nb.verify.spelling import normal_words

SENTENCES = 20
MOST_WORD_ERRORS = 0.1  # the recogniser's own errors included: 2 to 3 % on the embedded voice
SOURCE_S = 8.0
LENGTH_TOLERANCE_S = 0.05
PITCH_TOLERANCE = 0.1
RATE_HZ = 16_000
CONVERTER = "chatterbox-vc"
SOURCE, TARGET = "recordings/reading.flac", "recordings/target.flac"


def word_errors(subject: Subject) -> Result:
    """The share of words that a recogniser hears otherwise."""
    speech = subject.speak(sentences(SENTENCES)).speech
    audio, rate = speech.read()
    listener, wrong, written = Recogniser(), 0, 0
    for chunk in speech.record.chunks:
        piece = audio[round(chunk.start_s * rate) : round(chunk.end_s * rate)]
        heard = listener.transcript(piece, rate, "en")
        errors, words = _errors(chunk.text, heard)
        wrong, written = wrong + errors, written + words
    share = wrong / written
    return judged(
        share <= MOST_WORD_ERRORS,
        f"{wrong} of {written} words of {SENTENCES} sentences are heard otherwise: {share:.1%}",
        f"listen to a run: is it speech? {TELL}",
        word_errors=share,
    )


def _errors(text: str, heard: str) -> tuple[int, int]:
    """Words that are added, left out or other, and the words of the text."""
    from rapidfuzz.distance import Levenshtein

    expected = normal_words(text)
    return Levenshtein.distance(expected, unlooped(normal_words(heard))), len(expected)


def conversion(subject: Subject) -> Result:
    """A recording in another voice: is it as long as before, and nearer to the target?"""
    values, recordings = _converter(subject), sample_folder("params")
    if recordings is None:
        raise NotRun("this package came without its recordings", "the project's folder")
    source, rate = read_audio(recordings / SOURCE, sample_rate=RATE_HZ)
    target, _ = read_audio(recordings / TARGET, sample_rate=RATE_HZ)
    source = source[: round(SOURCE_S * rate)]
    folder = subject.new_folder()
    folder.mkdir()
    soundfile.write(folder / "source.wav", source, rate)
    values |= {"source": str(folder / "source.wav"), "target": str(recordings / TARGET)}
    values |= {"outputs_dir": str(folder), "run_name": "selftest"}
    plan = plan_conversion(ConvertParams.create(values))
    made, made_rate = render_conversion(plan, cancelled=lambda: False).read()
    length_s, made = len(made) / made_rate, resample(made, made_rate, RATE_HZ)
    is_like, likeness = _likeness(subject, made, target, source)
    is_long = abs(length_s - SOURCE_S) <= LENGTH_TOLERANCE_S
    why = f"{length_s:.2f} s of {SOURCE_S:.2f} s; {likeness}"
    return judged(is_long and is_like, why, f"listen to a conversion; {TELL}")


def _converter(subject: Subject) -> dict[str, Any]:
    """The converter beside the examined engine, as parameters of a run."""
    if subject.folder is None:
        return {"engine": "world"}
    checkpoint = subject.settled.checkpoint_folder
    try:
        folder = locate(CONVERTER, checkpoint) if checkpoint else cached(CONVERTER)
    except InputError as error:
        raise NotRun(str(error), "a folder with the converter's files") from error
    if folder is None:
        raise NotRun("the converter's model is not here", f"chatter-nb fetch {CONVERTER}")
    return subject.values | {"engine": "chatterbox", "precision": "auto"}


def _likeness(subject: Subject, made: Signal, target: Signal, source: Signal) -> tuple[bool, str]:
    """Whether a conversion is nearer to its target than to its source, and by what."""
    signals = (made, target, source)
    if subject.folder is None:
        pitches = [_pitch_hz(signal) for signal in signals]
        told = "its pitch is {:.0f} Hz, the target's {:.0f}, the source's {:.0f}"
        return abs(pitches[0] / pitches[1] - 1) <= PITCH_TOLERANCE, told.format(*pitches)
    speakers = _speakers(subject, signals)
    near, far = (float(speakers[0] @ other) for other in speakers[1:])
    told = f"its speaker's likeness to the target is {near:.2f}, to the source {far:.2f}"
    if subject.weights == "random":
        return True, f"{told} (to random weights, which proves nothing)"
    return near > far, told


def _pitch_hz(signal: Signal) -> float:
    import pyworld

    f0_hz, _ = pyworld.harvest(signal.astype(np.float64), RATE_HZ)
    return float(np.median(f0_hz[f0_hz > 0]))


def _speakers(subject: Subject, signals: Sequence[Signal]) -> list[Signal]:
    """The speaker embeddings of signals at `RATE_HZ`, each of length 1."""
    from chatter_nb.engines.chatterbox.loading import load_voice_encoder

    assert subject.folder is not None
    name = subject.entry.engine_class().voice_encoder_file
    encoder = load_voice_encoder(subject.folder, name, "cpu")
    embeddings = encoder.embeds_from_wavs(list(signals), sample_rate=RATE_HZ)
    return [embedding / np.linalg.norm(embedding) for embedding in embeddings]
