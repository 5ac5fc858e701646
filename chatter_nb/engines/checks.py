"""Checks a run's parameters against its engine before a model is loaded, and a text's language."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from chatter_nb.base.errors import ParamError
from chatter_nb.engines.checkpoints import check_meanflow, locate
from chatter_nb.engines.models import EngineChoice, Settled, settle
from chatter_nb.engines.registry import TTS_ENGINES, EngineEntry
from chatter_nb.params.runs import AnyParams, knobs_of

# The commonest words of languages in Latin letters, by which a text's language is guessed.
_LOOKED_AT_CHARS = 20_000
_LEAST_WORDS = 3  # different ones of the language's commonest: "no, no, no" is no Spanish
_LEAST_SHARE = 0.12  # of a text's words, that are among them
_COMMONEST = {
    "da": "og det er ikke jeg til af den på der med vi har han hun som",
    "de": "der die und das ist nicht ein eine ich zu den mit von sie auf im es",
    "en": "the and of to in is that it was for a he you i with not be she on",
    "es": "el la de que y los en un las por con una es no se del su",
    "fi": "ja on ei se että oli hän mutta ovat joka kun niin minä",
    "fr": "le la les des et est un une que dans pas pour il je vous du elle",
    "it": "il di che è e la un per non sono della con gli una del si",
    "ms": "yang dan di ini itu dengan untuk tidak dari pada saya dia",
    "nl": "de het een en van is niet ik dat zijn op met hij ze",
    "no": "og det er ikke jeg som på en til av har med vi han",
    "pl": "i w nie na się z że jest do to jak ale był",
    "pt": "o que de e não um uma os com para em as do da é",
    "sv": "och det att är inte jag en som på av för med han hon",
    "sw": "na ya wa kwa ni katika la za hii kuwa yake",
    "tr": "ve bir bu da de için ile çok ne ben değil gibi",
}
_SETS = {code: frozenset(words.split()) for code, words in _COMMONEST.items()}


def settle_params(choice: EngineChoice, params: AnyParams) -> Settled:
    """Choose device and precision. Raises `UnavailableError` for a device that is not here."""
    upstream = getattr(params, "engine_path", "fast") == "upstream"
    # Upstream's own way computes in float32, whatever the fast way's weights in memory are.
    precision = "any" if upstream else params.precision
    return settle(choice, params.device, params.checkpoint, precision)


def check_files(engine: EngineEntry, params: AnyParams) -> None:
    """Check an engine's files before its slow import; without a `checkpoint` they are fetched.

    Raises `InputError` for files that are missing or do not fit.
    """
    if engine.files and not engine.missing():
        folder = locate(engine.files, params.checkpoint)
        if getattr(params, "meanflow", None):
            check_meanflow(folder)


def check_supported(params: AnyParams, engine: Any, reason: str) -> None:
    """Raise a `ParamError` that names all parameters that an engine (or its entry) refuses."""
    is_set = dict.fromkeys(knobs_of(params), True) | {
        "rows": getattr(params, "rows", 0) > 1,
        "precision": params.precision in ("fast", "int8"),
        "engine_path": getattr(params, "engine_path", "fast") != "fast",
        "checkpoint": bool(params.checkpoint),
    }
    refused = [name for name, value in is_set.items() if value and name not in engine.accepts]
    who = f"engine '{engine.name}' ({reason})"
    problems = []
    if refused:
        taken = ", ".join(sorted(engine.accepts)) or "no knobs"
        them = "it" if len(refused) == 1 else "them"
        problems.append(
            f"{who} does not take {', '.join(refused)}; it takes: {taken}. "
            f"Leave {them} out or choose another engine"
        )
    language = getattr(params, "language", None)
    if language and language not in engine.languages:
        problems.append(
            f"{who} does not speak language '{language}'; it speaks: {', '.join(engine.languages)}"
        )
    if problems:
        raise ParamError("\n".join(problems))


def notes_on_language(text: str, engine: str, language: str) -> list[str]:
    """A note with its cure if a text seems to be in another language than it is read in."""
    code = other_language(text, language)
    if code is None:
        return []
    speaks = [name for name, entry in TTS_ENGINES.items() if code in entry.languages]
    cure = f"set language: {code}" + ("" if engine in speaks else f" and engine: {speaks[0]}")
    return [f"the text seems to be in '{code}', and {engine} reads it in '{language}': {cure}"]


def other_language(text: str, language: str) -> str | None:
    """The code of the language that a text seems to be in; None if it may be in `language`."""
    words = Counter(re.findall(r"[^\W\d_]+", text[:_LOOKED_AT_CHARS].lower()))
    counts = {code: sum(words[word] for word in common) for code, common in _SETS.items()}
    best = max(counts, key=lambda code: counts[code])
    is_rich = len(_SETS[best] & words.keys()) >= _LEAST_WORDS
    enough = is_rich and counts[best] >= _LEAST_SHARE * words.total()
    return best if enough and counts[best] > 2 * counts.get(language, words.total()) else None
