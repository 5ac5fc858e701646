"""Documents as uploads: spoken in their chapters, kept as long as their job needs them, refused."""

import io
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

import av
import httpx
from epubs import build_epub
from fakes import ToneEngine, speaking_with
from fastapi.testclient import TestClient
from serving import serving, settings_in, until

from chatter_nb.serve.application import make_app
from chatter_nb.serve.settings import Limits

AS_JSON = {"Accept": "application/json"}
PAGES = {
    "a.xhtml": "<h1>The wind</h1><p>It blew<a epub:type='noteref' href='#n'>1</a> hard.</p>",
    "b.xhtml": "<h1>The sun</h1><p>It shone.</p>",
    "c.xhtml": "<h1>The end</h1><p>Nobody won.</p>",
}
ENTRIES = [("The wind", "a.xhtml"), ("The sun", "b.xhtml"), ("The end", "c.xhtml")]
SPOKEN_CHARS = 77  # of all three, with the breaks between their blocks


@pytest.fixture(scope="module")
def book(tmp_path_factory) -> bytes:
    """An EPUB of three chapters."""
    return build_epub(tmp_path_factory.mktemp("book") / "x.epub", PAGES, ENTRIES).read_bytes()


def client_of(folder: Path, **values):
    return TestClient(make_app(settings_in(folder, **values)), base_url="http://localhost")


@pytest.fixture
def client(tmp_path):
    with speaking_with(ToneEngine()), client_of(tmp_path) as client:
        yield client


def sent(content: bytes | str, name: str = "My book.epub") -> dict:
    return {"text_file": (name, content)}


def kept_uploads(folder: Path) -> list[Path]:
    """What a server has of its clients' files."""
    places = [folder / "out" / name for name in (".uploads", ".jobs")]
    return [path for place in places for path in place.glob("*") if path.suffix != ".json"]


def ended(client, url: str) -> dict:
    """A job, once it is neither in line nor in hand."""
    return until(
        lambda: (job := client.get(url).json())["status"] not in ("queued", "running") and job
    )


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return file.getvalue()


def test_chapters_of_a_book_become_a_file_with_its_marks_and_tags(client, book, tmp_path):
    """The chosen ones, without the marks of notes; the answer has no place of the server's disk."""
    form = {"chapters": "1,3", "formats": "m4b", "author": "Nobody"}
    answer = client.post("/api/v1/tts", data=form, files=sent(book), headers=AS_JSON)
    assert answer.status_code == 200, answer.text
    run, (file,) = answer.json()["run"], answer.json()["files"]
    assert [chapter["title"] for chapter in run["chapters"]] == ["The wind", "The end"]
    spoken = " ".join("".join(chunk["text"] for chunk in run["chunks"]).split())
    assert spoken == "The wind It blew hard. The end Nobody won."
    assert run["outputs"][0]["source"] == "My-book.epub"
    assert str(tmp_path) not in answer.text
    fetched = client.get(file["url"])
    assert fetched.headers["content-type"] == "audio/mp4"
    with av.open(io.BytesIO(fetched.content)) as opened:
        titles = [chapter["metadata"]["title"] for chapter in opened.chapters()]
        assert titles == ["The wind", "The end"]
        assert (opened.metadata["title"], opened.metadata["artist"]) == ("A book", "Nobody")
    alone = client.post("/api/v1/tts", data=form, files=sent(book))
    assert alone.headers["content-type"] == "audio/mp4"
    assert kept_uploads(tmp_path) == []


def test_a_job_makes_a_file_of_each_chapter_and_forgets_the_document(client, book, tmp_path):
    """Their names are in the job's answer; what needs the document again says that it is gone."""
    form = {"split": "chapter", "formats": "mp3", "master": "podcast"}
    accepted = client.post("/api/v1/jobs", data=form, files=sent(book))
    assert accepted.status_code == 202, accepted.text
    assert accepted.json()["text_chars"] == SPOKEN_CHARS
    job = ended(client, accepted.json()["url"])
    names = ["speech-01-the-wind.mp3", "speech-02-the-sun.mp3", "speech-03-the-end.mp3"]
    assert job["files"] == names
    for name in names:
        content = client.get(f"/api/v1/runs/{job['id']}/{name}").content
        with av.open(io.BytesIO(content)) as opened:
            assert opened.metadata["album"] == "A book"
    until(lambda: not kept_uploads(tmp_path))
    applied = client.post(f"/api/v1/runs/{job['id']}/review/apply")
    assert applied.status_code == 409
    assert applied.json()["detail"].startswith("its document was an upload")


def test_a_job_keeps_its_document_until_it_is_done(tmp_path):
    """The server is killed in the middle of it; the next one ends it, and removes the document."""
    text = "\n\n".join(f"Chapter {n}\n\nThis is what was said on day {n}." for n in range(1, 61))
    with serving(tmp_path) as server:
        job = httpx.post(
            f"{server.url}/api/v1/jobs", files=sent(text, "Days.txt"), timeout=600
        ).json()
        until(lambda: httpx.get(server.url + job["url"]).json()["done"] > 2)
        server.process.kill()
        server.process.wait()
    (folder,) = kept_uploads(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["Days.txt"]
    (tmp_path / "out" / ".jobs" / "left").mkdir()  # by a server that was killed even earlier
    with serving(tmp_path) as server, httpx.Client(base_url=server.url, timeout=600) as client:
        done = ended(client, job["url"])
        assert (done["status"], done["error"]) == ("done", None)
        until(lambda: not kept_uploads(tmp_path))
        run = client.get(f"/api/v1/runs/{job['id']}/review").json()
    assert "day 60" in str(run["lines"])


def test_a_cancelled_job_forgets_its_document(client, book, tmp_path):
    job = client.post("/api/v1/jobs", files=sent(book)).json()
    client.delete(job["url"])
    until(lambda: not kept_uploads(tmp_path))


REFUSED = {
    "no zip": ("a.epub", b"no zip at all", "it is no zip archive"),
    "no word": ("a.docx", archive(x=b"x"), "no Word document"),
    "no pdf": ("a.pdf", b"hello", "no PDF"),
    "zip as text": ("a.txt", archive(x=b"x"), "is a zip archive"),
    "zip as a page": ("a.html", archive(x=b"x" * 2000), "no HTML"),
    "pdf as a page": ("a.html", b"%PDF-1.4 hello", "no HTML"),
    "bomb": ("a.epub", archive(**{"META-INF/container.xml": b"0" * 99_000_000}), "unpacks from"),
    "way out": ("a.epub", archive(**{"../../etc/x": b"x"}), "leads outside"),
    "nothing": ("a.txt", b"", "0 bytes"),
    "no letters": ("a.md", b"# ...", "nothing to speak"),
    "another format": ("a.odt", b"x", "does not end as a document does: .txt, "),
    "no suffix": ("epub", b"x", "does not end as a document does"),
    "much text": ("a.txt", b"a " * 4_000_001, "8,000,000 bytes"),
}


@pytest.mark.parametrize("route", ["tts", "jobs"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_document_is_refused_by_the_name_of_its_part(name, route, client, tmp_path):
    """A 422 without a place of the server's disk, and nothing is left there."""
    file, content, reason = REFUSED[name]
    answer = client.post(f"/api/v1/{route}", files=sent(content, f"../{file}"))
    assert answer.status_code == 422, answer.text
    detail = answer.json()["detail"]
    assert detail.startswith("text_file: ")
    assert reason in detail
    assert str(tmp_path) not in detail
    assert kept_uploads(tmp_path) == []
    assert client.get("/api/v1/jobs").json()["jobs"] == []


def test_a_chapter_that_is_not_there_is_told(client, book):
    answer = client.post("/api/v1/tts", data={"chapters": "9"}, files=sent(book))
    assert answer.json()["detail"].startswith("text_file: My-book.epub: chapters: 9 is not there")


def test_the_limit_of_a_text_holds_for_what_is_chosen_of_a_document(tmp_path, book):
    limits = Limits(text_chars=30, job_text_chars=50)
    with speaking_with(ToneEngine()), client_of(tmp_path, limits=limits) as client:
        for route, most in (("tts", 30), ("jobs", 50)):
            whole = client.post(f"/api/v1/{route}", files=sent(book))
            assert whole.status_code == 422
            assert f"text_file: {SPOKEN_CHARS} characters; up to {most}" in whole.text
            chosen = client.post(f"/api/v1/{route}", data={"chapters": "2"}, files=sent(book))
            assert chosen.status_code in (200, 202), chosen.text


def test_a_document_comes_as_a_file_and_alone(client, book):
    """No path, in a form or in JSON; no text beside it; no second document."""
    for route in ("tts", "jobs"):
        url = f"/api/v1/{route}"
        both = client.post(url, data={"text": "Hello."}, files=sent(book))
        assert both.json()["detail"] == "text and text_file are both given: send one"
        path = client.post(url, data={"text_file": "/etc/passwd"}, files={"x": ("", b"")})
        in_json = client.post(url, json={"text_file": "/etc/passwd"})
        for answer in (path, in_json):
            assert answer.status_code == 422
            assert answer.json()["detail"].startswith("text_file: a request cannot set this")
        twice = [("text_file", ("a.txt", b"Hello.")), ("text_file", ("b.txt", b"Hello."))]
        assert client.post(url, files=twice).status_code == 422


def test_what_the_engine_cannot_speak_of_a_document_is_told_without_its_place(tmp_path):
    """It is found by the plan, on the worker's thread."""
    with client_of(tmp_path) as client:
        sums = sent(f"It is {'9' * 40}.", "My sums.txt")
        answer = client.post("/api/v1/tts", data={"normalize": "off"}, files=sums)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert detail.startswith("text_file: My-sums.txt: engine 'hibari' cannot read 9999")
    assert str(tmp_path) not in detail


def test_words_are_not_replaced_without_end_in_a_document_either(client):
    words = {f"w{n}": "x" for n in range(400)}
    form = {"replacements": str(words).replace("'", '"')}
    answer = client.post("/api/v1/jobs", data=form, files=sent("word " * 190_000, "a.txt"))
    assert answer.status_code == 202, answer.text
    job = ended(client, answer.json()["url"])
    assert job["status"] == "failed"
    assert "400 words are too many for 9" in job["error"]


def test_a_stream_of_a_document_is_heard_and_its_upload_goes(client, book, tmp_path):
    """What is mastered or divided is no stream."""
    heard = client.post("/api/v1/tts?stream=true", data={"formats": "mp3"}, files=sent(book))
    assert heard.status_code == 200, heard.text
    assert heard.headers["content-type"] == "audio/mpeg"
    until(lambda: not kept_uploads(tmp_path))
    for more in ({"master": "acx"}, {"split": "chapter"}):
        form = {"formats": "mp3", **more}
        refused = client.post("/api/v1/tts?stream=true", data=form, files=sent(book))
        assert refused.status_code == 422
        assert next(iter(more)) in refused.json()["detail"]
    assert kept_uploads(tmp_path) == []
