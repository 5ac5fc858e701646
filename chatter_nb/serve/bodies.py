"""Request bodies, JSON or form, and their schemas: the same names and ranges as `params`.

A request cannot set what belongs to the server (folders, devices, files of its disk): such a name
is an error, like a name that does not exist.
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
from chatter_nb.params.pairs import unique
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.params.types import LEXICON_SUFFIXES
from chatter_nb.serve.errors import Problem
from chatter_nb.text.files import SUFFIXES

Kind = type[SpeakParams] | type[ConvertParams]
Params = TypeVar("Params", SpeakParams, ConvertParams)

JSON, FORM = "application/json", "multipart/form-data"

# Not for a client: files and folders of this machine, how its models run, and regular
# expressions, of which one of thirty characters can keep a processor busy for years.
WITHHELD = frozenset(
    {"text_file", "lexicon", "merge", "edits", "cover", "labels"}
    | {"voices_dir", "outputs_dir", "run_name"}
    | {"device", "checkpoint", "precision", "rows", "engine_path", "asr_model", "verify_workers"}
    | {"regex_replacements", "interactive"}
)
_WITHHELD_OF = {SpeakParams: WITHHELD, ConvertParams: WITHHELD | {"cast"}}  # … of a run on disk
DOCUMENT, LEXICON = "text_file", "lexicon"  # only ever uploads
UPLOADED = {DOCUMENT: ("a document", SUFFIXES), LEXICON: ("a lexicon", LEXICON_SUFFIXES)}
# Fields of a form that may hold a recording instead of a name, and those that may be a file.
RECORDINGS = {SpeakParams: ("voice",), ConvertParams: ("source", "target")}
_FILES = {SpeakParams: ("voice", *UPLOADED), ConvertParams: ("source", "target")}
_NEEDED = {SpeakParams: "text", ConvertParams: "source"}
# Query parameters that clients put into the body.
_ELSEWHERE = {
    name: f"{name}: it belongs in the address, as ?{name}=true" for name in ("stream", "parts")
}
PARTS_HELP = (
    "of a stream: hear the first chunk in parts while it is made; left out: if the engine is "
    "faster than real time"
)
_MAX_FIELDS = 60
_SMALL_BYTES = 16_384  # parsed in less time than another thread begins


@dataclass(frozen=True)
class Body:
    """A request's body: values by name, and uploads by the name of their field."""

    values: dict[str, Any]
    uploads: Mapping[str, UploadFile]


async def read_body(request: Request, kind: Kind) -> Body:
    """The body of a request, JSON or a form. Raises `Problem` for any other body."""
    media_type = media_type_of(request)
    if media_type == JSON:
        return Body(await json_of(request), {})
    if media_type == FORM:
        form = await request.form(max_files=len(_FILES[kind]), max_fields=_MAX_FIELDS)
        return _form_body(form, kind)
    raise Problem(415, f"Content-Type says {media_type or 'nothing'!r}: send {JSON} or {FORM}")


def media_type_of(request: Request) -> str:
    """The media type of the body, without parameters; "" without a Content-Type."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def json_of(request: Request) -> dict[str, Any]:
    """The JSON object of a request, see `parse_json`; a large body must not hold the event loop."""
    body = await request.body()
    if len(body) <= _SMALL_BYTES:
        return parse_json(body)
    return await run_in_threadpool(parse_json, body)


def parse_json(body: bytes) -> dict[str, Any]:
    """Read a JSON object strictly: no name twice, no NaN. Raises `Problem` 400 with the place."""
    try:
        values = json.loads(body, object_pairs_hook=unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise Problem(400, "the JSON is nested too deeply") from None
    except ValueError as error:  # also: bytes that are no text, numbers of thousands of digits
        raise Problem(400, f"the body is not JSON: {str(error)[:200]}") from None
    if not isinstance(values, dict):
        raise Problem(422, f"the body must be a JSON object, not {type(values).__name__}")
    if len(values) > _MAX_FIELDS:  # each unknown field would be a line of the answer
        raise Problem(422, f"the body has {len(values):,} fields; up to {_MAX_FIELDS} are taken")
    return values


def check_names(kind: type[Params], values: Mapping[str, Any]) -> None:
    """Raises `ParamError` for names that a request may not hold, with the names that it may hold.

    Call this before a check for a missing text: the text may be there under a wrong name. The error
    lists the faults of the other values too.
    """
    known = open_names(kind)
    withheld = sorted(_WITHHELD_OF[kind] & values.keys())
    unknown = sorted(values.keys() - kind.model_fields.keys())
    if not withheld and not unknown:
        return
    lines = [f"{', '.join(withheld)}: a request cannot set this"] if withheld else []
    for name in filter(UPLOADED.__contains__, withheld):  # as curl sends it without the sign
        lines[0] += f", but upload it: {name}=@FILE in a form"
    if not unknown:
        lines[0] += f"; it may set: {', '.join(known)}"
    lines += [_ELSEWHERE.get(name) or unknown_name(name[:80], known) for name in unknown]
    rest = {name: value for name, value in values.items() if name in known}
    try:
        kind.create({**rest, _NEEDED[kind]: "x"}, where="request")
    except ParamError as error:
        lines.append(str(error))
    raise ParamError("\n".join(lines))


def open_names(kind: Kind) -> list[str]:
    """The parameters that a request may hold."""
    return [name for name in kind.model_fields if name not in _WITHHELD_OF[kind]]


def json_schema(kind: Kind, *, longest_text: int = 0) -> dict[str, Any]:
    """The schema of a JSON body, from the parameter class."""
    schema = kind.model_json_schema()
    schema["properties"] = {name: schema["properties"][name] for name in open_names(kind)}
    needed = schema["properties"][_NEEDED[kind]]
    needed["minLength"] = 1
    needed.pop("default", None)
    schema["required"] = [_NEEDED[kind]]
    if longest_text:
        schema["properties"]["text"]["maxLength"] = longest_text
    schema["title"] = f"{kind.__name__} over HTTP"
    return schema


def form_schema(kind: Kind) -> dict[str, Any]:
    """The schema of a form: text for every value, recordings, and a document for the text."""
    properties: dict[str, dict[str, str]] = {}
    for name in dict.fromkeys([*open_names(kind), *_FILES[kind]]):
        about = kind.model_fields[name].description or ""
        properties[name] = {"type": "string", "description": about}
        if name in RECORDINGS[kind]:
            properties[name] |= {"format": "binary", "description": f"{about}; or a recording"}
    needed: dict[str, Any] = {"required": [_NEEDED[kind]]}
    for name, (noun, suffixes) in UPLOADED.items() if DOCUMENT in _FILES[kind] else ():
        properties[name] |= {"format": "binary", "description": f"{noun}: {' '.join(suffixes)}"}
        needed = {"oneOf": [{"required": [_NEEDED[kind]]}, {"required": [DOCUMENT]}]}
    return {"type": "object", "properties": properties, **needed, "additionalProperties": False}


def _form_body(form: FormData, kind: Kind) -> Body:
    values: dict[str, Any] = {}
    uploads: dict[str, UploadFile] = {}
    for name, value in form.multi_items():
        if name in values or name in uploads:
            raise Problem(422, f"{name[:80]}: given twice")
        if not isinstance(value, UploadFile):
            values[name] = value
        elif name in _FILES[kind]:
            uploads[name] = value
        else:
            allowed = " and ".join(_FILES[kind])
            raise Problem(422, f"{name[:80]}: this field takes no file; {allowed} may be a file")
    if DOCUMENT in uploads and values.get("text"):
        raise Problem(422, f"text and {DOCUMENT} are both given: send one")
    return Body(kind.coerce(values), uploads)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
