"""How each speaker of a run's texts speaks: voice, knobs, language and gain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from itertools import product
from typing import Any, NamedTuple

from chatter_nb.base.errors import InputError, Problems, shown
from chatter_nb.base.speakers import NARRATOR
from chatter_nb.engines.base import ChunkRequest, SpeechEngine, Voice
from chatter_nb.engines.checks import check_supported
from chatter_nb.engines.registry import EngineEntry
from chatter_nb.engines.voices import Library, library_of
from chatter_nb.params.cast import Manner, Member
from chatter_nb.params.runs import SpeakParams, knobs_of
from chatter_nb.runs.plan import check_voice
from chatter_nb.runs.speakers import cast_of
from chatter_nb.text.chunking import Chunk

RoleKey = tuple[str, str]  # speaker and mood


class Role(NamedTuple):
    """How a speaker speaks: the run's parameters with what is the speaker's own, and the voice."""

    params: SpeakParams
    voice: Voice
    gain_db: float = 0.0

    @property
    def name(self) -> str:
        return self.voice.name


def role_key(chunk: Chunk) -> RoleKey:
    """Who speaks a chunk, and in which mood."""
    return chunk.speaker, chunk.mood


def params_of(params: SpeakParams, speaker: str, mood: str = "") -> tuple[SpeakParams, float]:
    """The parameters with what is a speaker's own, and the speaker's gain in dB."""
    name = params.narrator if speaker == NARRATOR else speaker
    member = params.cast.get(cast_of(params).speaker(name) or name, Member(voice=name))
    manners = [member, params.moods.get(mood, Manner())]
    own: dict[str, Any] = {"voice": member.voice or params.voice}
    own |= {"language": member.language} if member.language else {}
    for manner in manners:
        own |= manner.knobs()
    return params.model_copy(update=own), sum(manner.gain_db for manner in manners)


def check_cast(params: SpeakParams, engine: EngineEntry, problems: Problems) -> None:
    """Collect what an engine refuses of the speakers, before it is loaded."""
    library = library_of(params)
    narrator = [NARRATOR] if params.narrator else []
    for speaker, mood in product([*narrator, *params.cast], ["", *params.moods]):
        own, _ = params_of(params, speaker, mood)
        who = ", ".join(filter(None, [speaker or "narrator", mood]))
        problems.of(partial(_told, who, partial(check_supported, own, engine, "speaks")))
        problems.of(partial(_told, who, partial(check_voice, own.voice, library, engine)))


def roles_of(
    params: SpeakParams, engine: SpeechEngine, chunks: Iterable[Chunk], problems: Problems
) -> dict[RoleKey, Role]:
    """The role of each speaker of chunks, and the narrator's; problems are collected."""
    library, roles = library_of(params), dict[RoleKey, Role]()
    keys = dict.fromkeys([(NARRATOR, ""), *((chunk.speaker, chunk.mood) for chunk in chunks)])
    for speaker, mood in keys:
        own, gain_db = params_of(params, speaker, mood)
        if speaker != NARRATOR and speaker not in params.cast and engine.min_voice_s is not None:
            problems.of(partial(_check_mark, own.voice, library))
            if problems.messages:  # nothing is read of a file that a mark names
                continue
        prepared = partial(engine.prepare_voice, own.voice, library)
        if voice := problems.of(partial(_told, speaker, prepared)):
            roles[speaker, mood] = Role(own, voice, gain_db)
    return roles


def request_for(index: int, text: str, seed: int, role: Role, engine: SpeechEngine) -> ChunkRequest:
    """What an engine needs to speak one chunk; `index` comes back with its audio."""
    language = role.params.language or engine.languages[0]
    return ChunkRequest(index, text, seed, role.voice, language, knobs_of(role.params))


def options_of(engine: SpeechEngine, params: SpeakParams, rows: int) -> dict[str, Any]:
    """The options of `synthesize` that this engine accepts."""
    options = {"rows": rows, "engine_path": params.engine_path}
    return {name: value for name, value in options.items() if name in engine.accepts}


def _check_mark(voice: str, library: Library) -> None:
    """A text names voices, never files: texts come from anybody. Raises `InputError`."""
    if not any(voice in (path.stem, path.name) for path in library.files()):
        known = ", ".join(library.names()) or "none yet"
        raise InputError(
            f"[voice: {shown(voice)}]: a mark names a recording of the voices folder ({known}): "
            "put it there, or give its path to a name of the cast"
        )


def _told(who: str, work: Any) -> Any:
    try:
        return work()
    except InputError as error:
        raise InputError(f"cast: {who}: {error}" if who else str(error)) from None


def described(roles: Mapping[RoleKey, Role], chunks: Iterable[Chunk]) -> str:
    """The speakers of chunks, each with voice and number of chunks."""
    numbers: dict[str, int] = {}
    for chunk in chunks:
        numbers[chunk.speaker] = numbers.get(chunk.speaker, 0) + 1
    voices = {speaker: role.voice.name for (speaker, _), role in list(roles.items())[::-1]}
    return ", ".join(
        f"{speaker or 'narrator'} ({voices[speaker]}) {number:,}"
        for speaker, number in sorted(numbers.items(), key=lambda item: -item[1])
    )
