"""The table of loudness targets, and in words what keeps a signal or a file from meeting one.

`acx`: ACX's numbers; it also asks for a human narrator. `podcast`: Apple's -16 LUFS; a mono file,
which plays in both speakers, is measured 3 LU lower for the same loudness. `r128`: EBU R 128.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chatter_nb.audio.meter import SILENCE_DB, Loudness

if TYPE_CHECKING:
    from chatter_nb.audio.measuring import Measured


@dataclass(frozen=True)
class Target:
    """Levels are LUFS, or RMS in dB where `is_rms`; peaks are dBTP. None asks for nothing.

    Mastering aims at `aim`, limits to `ceiling_db`, since encoders overshoot, and lays room tone.
    """

    name: str
    lowest: float
    aim: float
    highest: float
    peak_db: float
    ceiling_db: float
    is_rms: bool = False
    mono_lu: float = 0.0  # added to the levels for a signal of one channel
    floor_db: float | None = None
    mp3_bits_per_s: int | None = None  # of a constant bit rate
    sample_rate: int | None = None  # of a file
    made_hz: int | None = None  # files are made with this rate; None: with `sample_rate`
    longest_s: float | None = None
    room_tone: bool = False
    head_s: float = 0.0
    tail_s: float = 0.0

    def missing_db(self, loudness: Loudness) -> float:
        """The gain in dB that brings a signal to the aim; 0 for silence."""
        level, shift = self.level_and_shift(loudness)
        return self.aim + shift - level if level > SILENCE_DB else 0.0

    def failures(self, loudness: Loudness) -> list[str]:
        """The levels that fail, as they are shown: rounded to 0.1 dB."""
        level, shift = self.level_and_shift(loudness)
        values = (level, loudness.true_peak_db, loudness.floor_db)
        level, peak, floor = (round(value, 1) for value in values)
        low, high, words = self.lowest + shift, self.highest + shift, []
        if not low <= level <= high:
            level_text = f"RMS {level} dB" if self.is_rms else f"loudness {level} LUFS"
            words.append(f"{level_text}, asked {low:g} to {high:g}")
        if peak > self.peak_db:
            words.append(f"true peak {peak} dB, asked at most {self.peak_db:g}")
        if self.floor_db is not None and floor > self.floor_db:
            words.append(f"noise floor {floor} dB, asked at most {self.floor_db:g}")
        return words

    def file_failures(self, measured: Measured) -> list[str]:
        """The levels, the format, the rate and the length that fail."""
        words, minutes = self.failures(measured.loudness), measured.loudness.duration_s / 60
        is_mp3 = measured.codec == "mp3" and measured.is_constant
        if self.mp3_bits_per_s and not (is_mp3 and measured.bits_per_s >= self.mp3_bits_per_s):
            asked = f"mp3 of constant {self.mp3_bits_per_s // 1000} kbit/s or more"
            words.append(f"format {measured.format_text}, asked {asked}")
        if self.sample_rate and measured.sample_rate != self.sample_rate:
            words.append(f"rate {measured.sample_rate:,} Hz, asked {self.sample_rate:,}")
        if self.longest_s and minutes > self.longest_s / 60:
            words.append(f"length {minutes:.1f} min, asked at most {self.longest_s / 60:g}")
        return words

    def level_and_shift(self, loudness: Loudness) -> tuple[float, float]:
        """The level that counts, in LUFS or dB, and what to add to `lowest`, `aim`, `highest`."""
        shift = self.mono_lu if loudness.channels == 1 else 0.0
        return (loudness.rms_db if self.is_rms else loudness.lufs), shift


_ACX = Target(
    *("acx", -23, -20, -18),
    peak_db=-3,
    ceiling_db=-3.5,
    is_rms=True,
    floor_db=-60,
    mp3_bits_per_s=192_000,
    sample_rate=44_100,
    longest_s=120 * 60,
    room_tone=True,
    head_s=0.75,  # 0.5 to 1 s are asked for
    tail_s=2.0,  # 1 to 5 s
)
_PODCAST = Target("podcast", -17, -16, -15, peak_db=-1, ceiling_db=-1.5, mono_lu=-3)
_R128 = Target("r128", -23.5, -23, -22.5, peak_db=-1, ceiling_db=-1.5)
TARGETS = {target.name: target for target in (_ACX, _PODCAST, _R128)}
