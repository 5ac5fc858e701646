"""Lexicons as uploads: said, kept with their run for its edits, refused with a reason."""

import json
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fakes import ToneEngine, speaking_with
from fastapi.testclient import TestClient
from serving import settings_in, until

from chatter_nb.serve.application import make_app

AS_JSON = {"Accept": "application/json"}
TEXT = "Siobhan came.\n\nShe saw Siobhan's dog.\n\nIt barked."
SAID = ["Shivawn came.", "She saw Shivawn's dog.", "It barked."]
YAML = "Siobhan: Shivawn\n"
PLS = """<lexicon version="1.0" xmlns="http://www.w3.org/2005/01/pronunciation-lexicon"
  alphabet="ipa" xml:lang="en"><lexeme><grapheme>Siobhan</grapheme><alias>Shivawn</alias>
  </lexeme></lexicon>"""
BOMB = """<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">
  <!ENTITY c SYSTEM "file:///etc/passwd">]><lexicon><lexeme><grapheme>b</grapheme>
  <alias>&b;&c;</alias></lexeme></lexicon>"""


@pytest.fixture
def engine():
    with speaking_with(ToneEngine()) as engine:
        yield engine


@pytest.fixture
def client(engine, tmp_path):
    with TestClient(make_app(settings_in(tmp_path)), base_url="http://localhost") as client:
        yield client


def sent(content: str | bytes, name: str | None = "names.yaml") -> dict:
    return {"lexicon": (name, content)}


def kept(folder: Path) -> list[str]:
    """The files of clients that a server has, by their place in its folder."""
    out = folder / "out"
    places = [*out.glob(".uploads/*/*"), *out.glob(".jobs/*/*"), *out.glob("*/source/*")]
    return [path.relative_to(out).as_posix() for path in places]


@pytest.mark.parametrize(
    ("content", "name", "stays"),
    [(YAML, "My names.yaml", "My-names.yaml"), (PLS, "names.PLS", "names.pls")],
)
def test_words_are_said_as_a_lexicon_has_them(client, engine, tmp_path, content, name, stays):
    """The lexicon stays with the run, and nowhere in the answer is its place."""
    form, files = {"text": TEXT}, sent(content, name)
    answer = client.post("/api/v1/tts", data=form, files=files, headers=AS_JSON)
    assert answer.status_code == 200, answer.text
    assert engine.spoken == SAID
    run = answer.json()["run"]
    assert [chunk["text"].strip() for chunk in run["chunks"]] == TEXT.split("\n\n")
    assert str(tmp_path) not in answer.text
    assert kept(tmp_path) == [f"{run['run_name']}/source/{stays}"]


def test_a_line_is_edited_and_the_lexicon_still_holds(client, engine, tmp_path):
    """Its other words too; only the edited line is made."""
    form, files = {"text": TEXT}, sent(YAML)
    answer = client.post("/api/v1/tts", data=form, files=files, headers=AS_JSON).json()
    review = f"/api/v1/runs/{answer['run']['run_name']}/review"
    edit = client.get(review).json()["lines"][2]["edit"] | {"words": "It bit Siobhan."}
    client.post(f"{review}/edits", json={"schema": 1, "edits": [edit]})
    engine.spoken.clear()
    answer = client.post(f"{review}/apply")
    assert answer.status_code == 200, answer.text
    assert engine.spoken == ["It bit Shivawn."]
    (path,) = (tmp_path / "out").glob("*/source/*")
    path.unlink()
    refused = client.post(f"{review}/apply")
    assert refused.status_code == 409
    assert refused.json()["detail"].startswith("its lexicon was an upload")


def test_a_job_has_its_lexicon_beside_its_document(client, engine, tmp_path):
    """Until the job is deleted; the document goes with the end of the job."""
    files = {"text_file": ("names.txt", TEXT), **sent(YAML)}
    job = client.post("/api/v1/jobs", files=files).json()
    until(lambda: client.get(job["url"]).json()["status"] == "done")
    assert engine.spoken == SAID
    until(lambda: kept(tmp_path) == [f"{job['id']}/source/names.yaml"])
    client.delete(job["url"])
    assert kept(tmp_path) == []


@pytest.mark.parametrize("words", [{"Siobhan": "Shivawn"}, "Siobhan: Shivawn", "Siobhan = Shivawn"])
def test_pairs_are_an_object_or_a_text(client, engine, words):
    """As JSON; and in a form, where an object is its JSON."""
    answer = client.post("/api/v1/tts", json={"text": TEXT, "replacements": words})
    assert answer.status_code == 200, answer.text
    assert engine.spoken == SAID
    text = words if isinstance(words, str) else json.dumps(words)
    form = {"text": (None, TEXT), "replacements": (None, text)}
    again = client.post("/api/v1/tts", files=form, headers=AS_JSON).json()
    assert again["run"]["params"]["replacements"] == {"Siobhan": "Shivawn"}


REFUSED = {
    "path": ({}, sent("/etc/a.yaml", None), "lexicon: a request cannot set this, but upload it"),
    "suffix": ({}, sent(YAML, "names.exe"), "lexicon: 'names.exe' does not end as a lexicon does"),
    "list": ({}, sent("- a\n- b\n"), "lexicon names.yaml must hold 'name: value' lines"),
    "no way to say it": ({}, sent("Siobhan: {note: x}"), "'Siobhan': give say, ipa or arpabet"),
    "no text": ({}, sent(b"\xff\xfe\x00"), "lexicon names.yaml is not UTF-8 text"),
    "no XML": ({}, sent("<lexicon"), "lexicon names.yaml is no XML"),
    "long": ({}, sent(f"a: {'b' * 201}"), "lexicon: 'a': up to 200 characters are said for a word"),
    "large": ({}, sent("# " + "x" * 250_000), "lexicon: up to 250,000 bytes are read"),
    "voice": ({"voice": "nobody"}, sent(YAML), "has no voice 'nobody'"),
    "rule": ({"normalize": "x"}, sent(YAML), "normalize: 'x' is not among"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_told_and_not_kept(client, tmp_path, name):
    """By the file's own name; of a run that is refused nothing stays, be it by its plan."""
    values, files, told = REFUSED[name]
    form = {"text": TEXT, **values}
    answer = client.post("/api/v1/tts", data=form, files=files)
    assert answer.status_code in (404, 422)
    assert told in answer.json()["detail"]
    assert str(tmp_path) not in answer.text
    assert kept(tmp_path) == []
    as_json = client.post("/api/v1/tts", json={"text": TEXT, "lexicon": ["/etc/passwd"]})
    assert as_json.status_code == 422
    assert "lexicon=@FILE in a form" in as_json.json()["detail"]
    assert not list((tmp_path / "out").glob("tts-*"))


def test_a_lexicon_has_no_entities(client, engine):
    """Neither a bomb nor a file of the server is said."""
    form, files = {"text": "A b here."}, sent(BOMB, "names.xml")
    answer = client.post("/api/v1/tts", data=form, files=files, headers=AS_JSON)
    assert answer.status_code == 200, answer.text
    (said,) = engine.spoken
    assert said == "A &b;&c; here."
