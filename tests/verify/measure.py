"""Measures how many planted faults a check catches, and how many clean chunks it flags.

    python tests/verify/measure.py TEXT --level fast --chunks 400 --speeds 0.9 1.2

TEXT is a file with a sentence a line. Prints a table with 95 % intervals (Wilson) and the cost as
a share of real time on one core. Reports are kept in --folder, so that a stopped run resumes.
"""

from __future__ import annotations

import argparse
import functools
import math
import random
import time
from collections import Counter
from pathlib import Path

import faults
from hibari import Hibari

from chatter_nb.audio.reading import Signal
from chatter_nb.verify import Checker, Expectation, Verdict

LONGEST_S, SHORTEST_S = 5.5, 2.6
_ONSETS = [
    "br",
    "cr",
    "d",
    "dr",
    "f",
    "g",
    "gl",
    "j",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "st",
    "t",
    "th",
    "tr",
    "v",
    "w",
    "z",
]
_VOWELS = ["a", "e", "i", "o", "u", "ai", "or", "ar", "ee"]
_ENDS = ["n", "l", "r", "th", "x", "s", "m", "nd", "rin", "lia", "dor", "vek", "mus"]


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a rate."""
    z, n = 1.96, max(1, trials)
    centre = (hits / n + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(hits / n * (1 - hits / n) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def phonemes(word: str) -> str | None:
    """A word's phonemes as hibari says it alone."""
    return "".join(faults.speaker().phonemize(word)) or None


def reference(text: str) -> tuple[Signal, int]:
    """The text as hibari says it, at its own pace."""
    return _plain_speaker()(text, seed=0), Hibari.sample_rate


@functools.cache
def _plain_speaker() -> Hibari:
    return Hibari()


def invented(text: str, rng: random.Random) -> str:
    """The sentence with a name that nobody has in place of a word inside it."""
    words = text.split()
    inner = [at for at in range(1, len(words) - 1) if words[at].isalpha() and len(words[at]) > 3]
    if not inner:
        return ""
    syllables = [rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(rng.randint(1, 2))]
    words[rng.choice(inner)] = ("".join(syllables) + rng.choice(_ENDS)).capitalize()
    return " ".join(words)


def read_all(lines: list[str], chunks: int, speeds: list[float], names: bool) -> list:
    """Readings of 2.6 to 5.5 s, speeds in turn."""
    rng, readings = random.Random(1), []
    for at, line in enumerate(lines):
        text = invented(line, rng) if names else line
        reading = faults.read(text, speed=speeds[at % len(speeds)], seed=at) if text else None
        if reading and SHORTEST_S <= len(reading.audio) / Hibari.sample_rate <= LONGEST_S:
            readings.append(reading)
        if len(readings) == chunks:
            break
    return readings


def measure(kind: str, readings: list, checker: Checker) -> tuple[int, int, float, Counter]:
    """Chunks flagged or healed, chunks in all, seconds of work a second of audio, witnesses."""
    hits, trials, work_s, audio_s, by = 0, 0, 0.0, 0.0, Counter()
    for at, reading in enumerate(readings):
        audio = reading.audio
        if kind not in ("clean", "clean, invented names"):
            other = readings[(at + 7) % len(readings)]
            fault = faults.plant(kind, reading, other, seed=at)
            if fault is None:
                continue
            audio = fault.audio
        start_s = time.process_time()
        verdict = checker.check(audio, Hibari.sample_rate, Expectation(reading.text, "en"))
        work_s += time.process_time() - start_s
        audio_s += len(audio) / Hibari.sample_rate
        trials += 1
        hits += is_caught(verdict)
        by.update({finding.witness for finding in verdict.findings})
        by["cut"] += bool(verdict.cuts)
        if (kind.startswith("clean")) == is_caught(verdict):
            print("   ", kind, "|", reading.text, "|", *(f.reason for f in verdict.findings))
    return hits, trials, work_s / max(audio_s, 1e-9), by


def is_caught(verdict: Verdict) -> bool:
    """Doubtful, or healed by a cut."""
    return verdict.verdict == "doubtful" or bool(verdict.cuts)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("text", type=Path)
    parser.add_argument("--level", default="fast")
    parser.add_argument("--chunks", type=int, default=400)
    parser.add_argument("--speeds", type=float, nargs="+", default=[0.9, 1.2])
    parser.add_argument("--kinds", nargs="+")
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    checker = Checker(args.level, phonemes=phonemes, reference=reference, folder=args.folder)
    checker.prepare("en")
    lines = args.text.read_text().splitlines()
    random.Random(0).shuffle(lines)
    readings = read_all(lines, args.chunks, args.speeds, names=False)
    print(f"| fault | caught | 95 % | n | {args.level}, by witness | x real time |")
    for kind in args.kinds or ["clean", "clean, invented names", *faults.KINDS]:
        names = kind == "clean, invented names"
        chosen = read_all(lines, args.chunks, args.speeds, names=True) if names else readings
        hits, trials, cost, by = measure(kind, chosen, checker)
        low, high = wilson(hits, trials)
        share = f"{hits / max(1, trials):.1%} | {low:.1%} to {high:.1%}"
        witnesses = ", ".join(f"{name} {count}" for name, count in by.most_common() if count)
        print(f"| {kind} | {share} | {trials} | {witnesses} | {cost:.3f} |", flush=True)


if __name__ == "__main__":
    main()
