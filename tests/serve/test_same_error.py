"""The same mistake is told in the same words by file, `-p`, cell, form, page and HTTP."""

import html
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

pytest.importorskip("gradio", reason="needs the extra [serve]")

import anyio
import gradio as gr
from anyio import to_thread
from fastapi.testclient import TestClient
from serving import settings_in

from chatter_nb.base.errors import InputError
from chatter_nb.cli.app import app
from chatter_nb.notebook.forms import controls, speak_form
from chatter_nb.params.fields import fields_of
from chatter_nb.params.pairs import CURE
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak_plan import plan_speech
from chatter_nb.serve.application import make_app
from chatter_nb.serve.bodies import UPLOADED, WITHHELD
from chatter_nb.serve.by_hand import ByHand
from chatter_nb.serve.controls import control
from chatter_nb.serve.live import Lives
from chatter_nb.serve.service import Service

LIST, SLIDER, NUMBER = "a list to choose from", "a slider", "a box for numbers"
NOWHERE = "there is no such control"
NOT_OURS = "a client cannot set it"
UPLOAD = "an upload, and what is uploaded is there"
FORM = {LIST: controls.Dropdown, SLIDER: controls.Slider, NUMBER: controls.Plain}
PAGE = {LIST: gr.Dropdown, SLIDER: gr.Slider, NUMBER: gr.Number}

# (field, value, what is told), and why a surface cannot make the mistake.
ROWS = {
    "no divider": (
        ("replacements", "Siobhan Shivawn"),
        f"replacements: 'Siobhan Shivawn' has no : or = between two words; {CURE}",
        {},
    ),
    "no word": (
        ("replacements", "Dr: Doctor, = Shivawn"),
        "replacements: the word to say as 'Shivawn' cannot be empty: write it",
        {},
    ),
    "no rule": (
        ("normalize", "dtaes"),
        re.compile(r"normalize: 'dtaes' is not among .*dates.*; or write auto, off, .*"),
        {},
    ),
    "no pattern": (
        ("regex_replacements", "( = x"),
        re.compile(r"regex_replacements: '\(' is not a regular expression: missing \), .*"),
        {"page": NOT_OURS, "http": NOT_OURS},
    ),
    "too fast": (
        ("speed", 9),
        "speed: should be less than or equal to 2 (given 9, int)",
        {"form": SLIDER, "page": SLIDER},
    ),
    "no engine": (
        ("engine", "hibary"),
        re.compile(r"engine: should be 'auto', 'hibari', .* \(given 'hibary', str\)"),
        {"form": LIST, "page": LIST},
    ),
    "no field": (
        ("chunk_char", 100),
        "unknown parameter 'chunk_char': did you mean 'chunk_chars'?",
        {"form": NOWHERE, "page": NOWHERE},
    ),
    "no number": (
        ("chunk_chars", "many"),
        "chunk_chars: should be a valid integer (given 'many', str)",
        {"form": NUMBER, "page": NUMBER},
    ),
    "no file": (
        ("lexicon", "{folder}/none.yaml"),
        "cannot read lexicon none.yaml: No such file or directory",
        {"page": UPLOAD, "http": UPLOAD},
    ),
    "no lexicon": (
        ("lexicon", "{folder}/list.yaml"),
        "lexicon list.yaml must hold 'name: value' lines; it holds a list that is no such mapping",
        {},
    ),
    "no voice": (
        ("voice", "nobody"),
        "engine 'hibari' has no voice 'nobody'; it has: heart, emma, fenrir, fable, kore. "
        "It cannot clone a recording: for that choose engine: chatterbox",
        {"form": LIST, "page": LIST},
    ),
}
PLACES = (r"\S+\.yaml", "the command line", "the notebook's parameters", "the form", "request")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("same")
    (made / "list.yaml").write_text("- Siobhan\n- Shivawn\n")
    return made


@pytest.fixture(scope="module")
def client(folder):
    with TestClient(make_app(settings_in(folder)), base_url="http://localhost") as client:
        yield client


@pytest.fixture(scope="module")
def service(folder):
    made = Service(settings_in(folder / "page"))
    yield made
    made.close()
    assert made.join()


def of_file(values, folder, surfaces) -> str:
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError) as caught:
        app(["speak", "-f", str(path)], standalone_mode=False)
    return str(caught.value)


def of_options(values, folder, surfaces) -> str:
    options = [part for name, value in values.items() for part in ("-p", f"{name}={value}")]
    with pytest.raises(InputError) as caught:
        app(["speak", *options], standalone_mode=False)
    return str(caught.value)


def of_cell(values, folder, surfaces) -> str:
    cell = "# Parameters\n" + "\n".join(f"{name} = {value!r}" for name, value in values.items())
    with pytest.raises(InputError) as caught:
        plan_speech(SpeakParams.from_notebook({"In": [cell], **values}))
    return str(caught.value)


def of_form(values, folder, surfaces) -> str:
    form = speak_form(SpeakParams(text=values.pop("text"), outputs_dir=values.pop("outputs_dir")))
    for name, value in values.items():
        form.sheet.controls[name].inputs[-1].value = value
    form._go.click()
    assert form.wait(600)
    told = form.notices.box.value
    return re.sub(r"<[^>]+>", "", told)


def of_page(values, folder, surfaces) -> str:
    del values["outputs_dir"]
    if "lexicon" in values:
        values["lexicon upload"] = values.pop("lexicon")
    by_hand = ByHand(surfaces["service"], Lives(), SpeakParams, list(values))
    run = partial(by_hand.run, SimpleNamespace(session_hash="a"), "off", *values.values())
    *_, last = anyio.run(to_thread.run_sync, lambda: list(run()))  # in a thread, as Gradio does
    return re.sub(r"<[^>]+>", "", last[0])


def of_http(values, folder, surfaces) -> str:
    del values["outputs_dir"]
    if "lexicon" in values:
        path = Path(values.pop("lexicon"))
        files = {"lexicon": (path.name, path.read_bytes())}
        answer = surfaces["client"].post("/api/v1/tts", data=values, files=files)
    else:
        answer = surfaces["client"].post("/api/v1/tts", json=values)
    assert answer.status_code in (404, 422), answer.text
    return answer.json()["detail"]


SURFACES = {
    "file": of_file,
    "-p": of_options,
    "cell": of_cell,
    "form": of_form,
    "page": of_page,
    "http": of_http,
}


def cannot(surface: str, name: str, why: str) -> bool:
    """Whether the reason of a row holds."""
    if why in (NOT_OURS, UPLOAD):
        return name in WITHHELD and (name in UPLOADED) == (why == UPLOAD)
    fields = fields_of(SpeakParams)
    if why == NOWHERE:
        return name not in fields
    if surface == "form":
        made = speak_form(SpeakParams(text="Hello.")).sheet.controls[name]
        return isinstance(made, FORM[why])
    return isinstance(control(fields[name], ["heart"] if name == "voice" else None), PAGE[why])


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("row", ROWS)
def test_a_mistake_is_told_in_the_same_words(row, surface, folder, client, service):
    """The sentence with its cure; before it at most the place."""
    (name, value), sentence, exempt = ROWS[row]
    if why := exempt.get(surface):
        assert cannot(surface, name, why), why
        return
    value = value.format(folder=folder) if isinstance(value, str) else value
    values = {"text": "Hello Siobhan.", "engine": "hibari", name: value}
    values["outputs_dir"] = str(folder / "runs")
    surfaces = {"client": client, "service": service}
    told = html.unescape(SURFACES[surface](values, folder, surfaces)).replace(f"{folder}/", "")
    told = re.sub(rf"^({'|'.join(PLACES)}): ", "", told.strip().removeprefix("error: "))
    if isinstance(sentence, str):
        assert told == sentence
    else:
        assert sentence.fullmatch(told), told
