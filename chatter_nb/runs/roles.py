"""How each speaker of a run's texts speaks: voice, knobs, language and gain."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

from chatter_nb.base.errors import InputError, Problems, shorten
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
T = TypeVar("T")


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
    name = speaker
    if speaker == NARRATOR:
        name = cast_of(params).speaker(params.narrator) or params.narrator
    member = params.cast.get(name, Member(voice=name))
    manners = [member, params.moods.get(mood, Manner())]
    own: dict[str, Any] = {"voice": member.voice or params.voice}
    own |= {"language": member.language} if member.language else {}
    for manner in manners:
        own |= manner.knobs()
    return params.model_copy(update=own), sum(manner.gain_db for manner in manners)


def check_cast(
    params: SpeakParams, engine: EngineEntry, problems: Problems, speakers: Iterable[str] = ()
) -> None:
    """Collect what an engine refuses of the cast, and of `speakers` of a text, before it loads."""
    library = library_of(params)
    for speaker in speakers:
        problems.of(partial(check_mark, params, speaker, engine, library))
    narrator = [NARRATOR] if params.narrator else []
    keys = [(who, "") for who in (*narrator, *params.cast)]
    for speaker, mood in [*keys, *((NARRATOR, mood) for mood in params.moods)]:
        own, _ = params_of(params, speaker, mood)
        who = mood or speaker or "narrator"
        problems.of(partial(told_of, params, who, partial(check_supported, own, engine, "speaks")))
        problems.of(partial(told_of, params, who, partial(check_voice, own.voice, library, engine)))


def roles_of(
    params: SpeakParams, engine: SpeechEngine, chunks: Iterable[Chunk], problems: Problems
) -> dict[RoleKey, Role]:
    """The role of each speaker of chunks, and the narrator's; problems are collected."""
    library, roles = library_of(params), dict[RoleKey, Role]()
    keys = dict.fromkeys([(NARRATOR, ""), *((chunk.speaker, chunk.mood) for chunk in chunks)])
    for speaker, mood in keys:
        own, gain_db = params_of(params, speaker, mood)
        if problems.of(partial(check_mark, params, speaker, engine, library)) is None:
            continue  # nothing is read of a file that a mark names
        prepared = partial(engine.prepare_voice, own.voice, library)
        who = "narrator" if params.narrator and speaker == NARRATOR else speaker
        if voice := problems.of(partial(told_of, params, who, prepared)):
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


def check_mark(
    params: SpeakParams, speaker: str, engine: SpeechEngine | EngineEntry, library: Library
) -> bool:
    """True. A text names voices, never files: texts come from anybody. Raises `InputError`."""
    if speaker in (NARRATOR, *params.cast) or engine.min_voice_s is None:
        return True
    if not any(speaker in (path.stem, path.name) for path in library.files()):
        known = ", ".join(library.names()) or "none yet"
        raise InputError(
            f"[voice: {shorten(speaker, 60)}]: a mark names a recording of the voices folder "
            f"({known}): put it there, or give it to a name of the cast"
        )
    return True


def told_of(params: SpeakParams, who: str, work: Callable[[], T]) -> T:
    """What the work returns; an `InputError` begins with who it is about."""
    try:
        return work()
    except InputError as error:
        where = f"cast: {who}: " if who in params.cast else f"{who}: " if who == "narrator" else ""
        where = where or (f"[voice: {shorten(who, 60)}]: " if who else "")
        raise InputError(f"{where}{error}") from None


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
