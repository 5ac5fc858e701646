"""One level for all voices of a run: how much louder or softer each is made.

The first seconds of each voice are measured. All are brought to the narrator's loudness, or as near
to it as the peaks of the quietest voice allow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from chatter_nb.audio.meter import SILENCE_DB, Meter
from chatter_nb.audio.reading import Signal
from chatter_nb.base.speakers import NARRATOR
from chatter_nb.params.runs import knobs_of
from chatter_nb.runs.keys import PlannedChunk
from chatter_nb.runs.record import SpeakerRecord
from chatter_nb.runs.roles import Role, RoleKey, role_key
from chatter_nb.runs.speak_plan import SpeechPlan
from chatter_nb.text.pace import chars_per_s

_HEARD_S = 15.0  # of each voice
_PEAK_DB = -1.0


class Level(NamedTuple):
    """Loudness in LUFS, and the true peak in dB."""

    lufs: float
    peak_db: float


def heard_first(plan: SpeechPlan) -> dict[str, list[PlannedChunk]]:
    """By voice, the first chunks of about 15 s; nothing if there is only one voice."""
    left_s = {role.voice.content_hash: _HEARD_S for role in plan.roles.values()}
    chosen: dict[str, list[PlannedChunk]] = {voice: [] for voice in left_s}
    for planned in plan.chunks if len(left_s) > 1 else ():
        role, chunk = plan.role_of(planned), planned.chunk
        voice = role.voice.content_hash
        if left_s[voice] > 0 and chunk.speakable:
            chosen[voice].append(planned)
            left_s[voice] -= len(chunk.text) / chars_per_s(chunk.language)
    return {voice: chunks for voice, chunks in chosen.items() if chunks}


def level_of(audios: Iterable[Signal], rate_hz: int) -> Level | None:
    """The level of a voice; None if it is not heard for 400 ms."""
    meter = Meter(rate_hz)
    for audio in audios:
        meter.write(audio)
    result = meter.result()
    return None if result.lufs <= SILENCE_DB else Level(result.lufs, result.true_peak_db)


def gains_db(
    roles: Mapping[RoleKey, Role], levels: Mapping[str, Level | None]
) -> dict[RoleKey, float]:
    """By speaker and mood, the gain to the common level, and the speaker's own on top of it."""
    known = {voice: level for voice, level in levels.items() if level}
    narrator = roles[NARRATOR, ""].voice.content_hash
    common = dict[str, float]()
    if known:
        wanted = known.get(narrator) or next(iter(known.values()))
        most = min(level.lufs + _PEAK_DB - level.peak_db for level in known.values())
        lufs = min(wanted.lufs, most)
        common = {voice: lufs - level.lufs for voice, level in known.items()}
    return {  # as run.json keeps them: its revision is to have the same samples
        key: round(common.get(role.voice.content_hash, 0.0) + role.gain_db, 3)
        for key, role in roles.items()
    }


def speaker_records(
    plan: SpeechPlan, gains_db: Mapping[RoleKey, float]
) -> tuple[SpeakerRecord, ...]:
    """The speakers of a run, for its record."""
    numbers = Counter(role_key(planned.chunk) for planned in plan.chunks)
    return tuple(
        SpeakerRecord(
            name=key[0],
            mood=key[1],
            voice=role.voice.name,
            chunks=numbers[key],
            gain_db=gains_db.get(key, 0.0),
        )
        for key, role in plan.roles.items()
    )


def kinds_of(roles: Mapping[RoleKey, Role]) -> int:
    """How many voices with knobs there are: engines make those of a kind together."""
    return len({(r.voice.content_hash, str(knobs_of(r.params))) for r in roles.values()})


def in_windows(positions: Sequence[int], kinds: int) -> Iterator[Sequence[int]]:
    """Positions in windows, since engines make the chunks of a window kind by kind.

    The first are short, that sound comes early; none is so long that what waits fills the memory.
    """
    size, at = 8, 0
    while at < len(positions):
        end = at + size if kinds > 1 else len(positions)
        yield positions[at:end]
        size, at = min(2 * size, 256), end
