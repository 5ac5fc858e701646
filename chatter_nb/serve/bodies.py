"""Request bodies as parameter objects: the same names, ranges and errors as everywhere else.

What is the server's own to say (places, devices, files of its disk) is refused by name, like a name
that does not exist.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request

from chatter_nb.base.errors import ParamError
from chatter_nb.params.base import unknown_name
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.serve.errors import Problem

Params = TypeVar("Params", SpeakParams, ConvertParams)

JSON, FORM = "application/json", "multipart/form-data"

# Not for a client: files and folders of this machine, how its models run, and regular expressions,
# of which one of thirty characters can keep a processor busy for years.
WITHHELD = frozenset(
    {
        *("text_file", "merge", "voices_dir", "outputs_dir", "run_name", "interactive"),
        *("device", "checkpoint", "precision", "rows", "engine_path", "regex_replacements"),
    }
)
# Parts of a form that may hold a recording instead of a name.
RECORDINGS = {SpeakParams: ("voice",), ConvertParams: ("source", "target")}
_STAND_IN = {SpeakParams: {"text": "x"}, ConvertParams: {"source": "x"}}
# Not of the body.
_ELSEWHERE = {"stream": "stream: it stands in the address, as ?stream=true"}
_MAX_FIELDS = 60
_SMALL_BYTES = 16_384  # parsed in less time than another thread begins


@dataclass(frozen=True)
class Asked:
    """What a client sent: values by name, and recordings by the name of the part that held them."""

    values: dict[str, Any]
    recordings: Mapping[str, UploadFile]


async def read_body(request: Request, kind: type[Params]) -> Asked:
    """The values of a JSON object or of a form. Raises `Problem` for what is neither."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == JSON:
        return Asked(await json_of(request), {})
    if media_type == FORM:
        form = await request.form(max_files=len(RECORDINGS[kind]), max_fields=_MAX_FIELDS)
        return _of_form(form, kind)
    told = media_type or "nothing"
    raise Problem(415, f"Content-Type says {told!r}: send {JSON} or {FORM}")


async def json_of(request: Request) -> dict[str, Any]:
    """A request's JSON object, see `parse_json`; a large one must not hold the event loop."""
    body = await request.body()
    if len(body) <= _SMALL_BYTES:
        return parse_json(body)
    return await run_in_threadpool(parse_json, body)


def parse_json(body: bytes) -> dict[str, Any]:
    """A JSON object, strictly: no name twice, no NaN. Raises `Problem` 400, with the place."""
    try:
        values = json.loads(body, object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise Problem(400, "the JSON is nested too deeply") from None
    except ValueError as error:  # also: bytes that are no text, numbers of thousands of digits
        raise Problem(400, f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(values, dict):
        raise Problem(422, f"the body must be a JSON object, not {type(values).__name__}")
    if len(values) > _MAX_FIELDS:  # each unknown one would be a line of the answer
        raise Problem(422, f"the body has {len(values):,} fields; up to {_MAX_FIELDS} are taken")
    return values


def speech_params(values: Mapping[str, Any], own: Mapping[str, Any]) -> SpeakParams:
    """A request's parameters; see `_params`."""
    return _params(SpeakParams, values, own)


def conversion_params(values: Mapping[str, Any], own: Mapping[str, Any]) -> ConvertParams:
    """A request's parameters; see `_params`."""
    return _params(ConvertParams, values, own)


def _params(kind: type[Params], values: Mapping[str, Any], own: Mapping[str, Any]) -> Params:
    """`values` of a client with the server's `own`. Raises `ParamError` that names every fault."""
    check_names(kind, values)
    return kind.create({**values, **own}, where="request")


def check_names(kind: type[Params], values: Mapping[str, Any]) -> None:
    """Raises `ParamError` for names that a request may not hold, with those that it may.

    Before a text is missed, which may be there by a wrong name; other faults are told with it.
    """
    known = open_names(kind)
    withheld = sorted(WITHHELD & values.keys())
    lines = [f"{', '.join(withheld)}: not for a request to say"] if withheld else []
    unknown = sorted(values.keys() - kind.model_fields.keys())
    lines += [_ELSEWHERE.get(name) or unknown_name(name[:80], known) for name in unknown]
    if withheld and not unknown:
        lines[0] += f"; it may say: {', '.join(known)}"
    if not lines:
        return
    rest = {name: value for name, value in values.items() if name in known}
    try:
        kind.create({**rest, **_STAND_IN[kind]}, where="request")
    except ParamError as error:
        lines.append(str(error))
    raise ParamError("\n".join(lines))


def open_names(kind: type[SpeakParams] | type[ConvertParams]) -> list[str]:
    """The parameters that a request may hold."""
    return [name for name in kind.model_fields if name not in WITHHELD]


def json_schema(
    kind: type[SpeakParams] | type[ConvertParams], *, longest_text: int = 0
) -> dict[str, Any]:
    """The schema of a JSON body, out of the parameter class."""
    schema = kind.model_json_schema()
    schema["properties"] = {name: schema["properties"][name] for name in open_names(kind)}
    needed = {"text": SpeakParams, "source": ConvertParams}
    schema["required"] = [name for name, of in needed.items() if of is kind]
    for name in schema["required"]:
        schema["properties"][name] |= {"minLength": 1}
        schema["properties"][name].pop("default", None)
    if longest_text:
        schema["properties"]["text"]["maxLength"] = longest_text
    schema["title"] = f"{kind.__name__} over HTTP"
    return schema


def form_schema(kind: type[SpeakParams] | type[ConvertParams]) -> dict[str, Any]:
    """The schema of a form: text for every value, and recordings."""
    told = {name: info.description or "" for name, info in kind.model_fields.items()}
    text = {name: {"type": "string", "description": told[name]} for name in open_names(kind)}
    recordings: dict[str, Any] = {
        name: {"type": "string", "format": "binary", "description": f"{told[name]}; or a recording"}
        for name in RECORDINGS[kind]
    }
    needed = ["text"] if kind is SpeakParams else ["source"]
    return {
        "type": "object",
        "properties": text | recordings,
        "required": needed,
        "additionalProperties": False,
    }


def _of_form(form: FormData, kind: type[Params]) -> Asked:
    values: dict[str, Any] = {}
    recordings: dict[str, UploadFile] = {}
    for name, value in form.multi_items():
        if name in values or name in recordings:
            raise Problem(422, f"{name[:80]}: given twice")
        if not isinstance(value, UploadFile):
            values[name] = value
        elif name in RECORDINGS[kind]:
            recordings[name] = value
        else:
            allowed = " and ".join(RECORDINGS[kind])
            raise Problem(422, f"{name[:80]}: this part takes no file; {allowed} may be one")
    return Asked(kind.coerce(values), recordings)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"{name[:80]!r} is given twice")
        values[name] = value
    return values


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
