"""Documents as uploads: spoken whole or in chapters, kept until their job has ended, refused."""

import io
import json
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

import av
from conftest import ROOT
from epubs import build_epub
from fakes import ToneEngine, holding, speaking_with
from fastapi.testclient import TestClient
from serving import serving, settings_in, until

from chatter_nb.serve.application import make_app
from chatter_nb.serve.jobs import Jobs
from chatter_nb.serve.service import Service
from chatter_nb.serve.settings import Limits

AS_JSON = {"Accept": "application/json"}
PAGES = {
    "a.xhtml": "<h1>The wind</h1><p>It blew<a epub:type='noteref' href='#n'>1</a> hard.</p>",
    "b.xhtml": "<h1>The sun</h1><p>It shone.</p>",
    "c.xhtml": "<h1>The end</h1><p>Nobody won.</p>",
}
ENTRIES = [("The wind", "a.xhtml"), ("The sun", "b.xhtml"), ("The end", "c.xhtml")]


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> bytes:
    """An EPUB of three chapters."""
    return build_epub(tmp_path_factory.mktemp("book") / "x.epub", PAGES, ENTRIES).read_bytes()


@pytest.fixture
def client(tmp_path):
    with (
        speaking_with(ToneEngine()),
        TestClient(make_app(settings_in(tmp_path)), base_url="http://localhost") as client,
    ):
        yield client


def sent(content: bytes, name: str = "My book.epub") -> dict:
    return {"text_file": (name, content)}


def speak(client, content: bytes, name: str = "My book.epub", **values):
    return client.post("/api/v1/tts", data=values, files=sent(content, name), headers=AS_JSON)


def uploads(folder: Path) -> list[Path]:
    """What the server keeps of clients' files."""
    out = folder / "out"
    return [p for name in (".uploads", ".jobs") for p in (out / name).rglob("*") if p.suffix != ".json"]


def ended(client, url: str) -> dict:
    job = until(lambda: (j := client.get(url).json())["status"] not in ("queued", "running") and j)
    return job


def test_a_document_is_spoken_in_its_chapters(client, book, tmp_path):
    answer = speak(client, book, chapters="1,3", formats="m4b", author="Nobody")
    assert answer.status_code == 200, answer.text
    run = answer.json()["run"]
    assert [c["title"] for c in run["chapters"]] == ["The wind", "The end"]
    assert [c["text"] for c in run["chunks"]] == []
    assert str(tmp_path) not in answer.text
    assert uploads(tmp_path) == []


def test_job(client, book, tmp_path):
    answer = client.post("/api/v1/jobs", data={"split": "chapter", "formats": "mp3"}, files=sent(book))
    assert answer.status_code == 202, answer.text
    job = ended(client, answer.json()["url"])
    assert job["files"] == []
