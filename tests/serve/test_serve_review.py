"""The routes of a run's review: edits are kept, a line is made again, files are built anew."""

import json
import shutil
from functools import partial

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fakes import ToneEngine, speaking_with
from fastapi.testclient import TestClient
from serving import settings_in

from chatter_nb.runs.edits import load_edits
from chatter_nb.serve.application import make_app

KEY = "a-key-of-enough-characters"
TEXT = "The first line.\n\nThe second line.\n\nThe third line."
POSTS = ("edits", "again", "apply")


@pytest.fixture
def engine():
    with speaking_with(ToneEngine()) as engine:
        yield engine


@pytest.fixture
def client(engine, tmp_path):
    with TestClient(make_app(settings_in(tmp_path)), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def review(client) -> str:
    """The address of the review of a run of three lines."""
    answer = client.post("/api/v1/tts", json={"text": TEXT}, headers={"Accept": "application/json"})
    return f"/api/v1/runs/{answer.json()['run']['run_name']}/review"


def body_of(client, review: str, **changes) -> dict:
    """A body with one edit, of the second line."""
    edit = client.get(review).json()["lines"][1]["edit"]
    return {"schema": 1, "edits": [edit | changes]}


def test_an_edited_line_is_spoken_and_the_others_are_not_made_again(client, review, engine):
    """Saved, then applied: the answer has the new words and its player."""
    answer = client.post(f"{review}/edits", json=body_of(client, review, words="Other words."))
    assert answer.json() == {"success": True, "edits": 1}
    spoken = len(engine.spoken)
    data = client.post(f"{review}/apply").json()
    assert engine.spoken[spoken:] == ["Other words."]
    assert [line["spoken"] for line in data["lines"]] == [None, "Other words. ", None]
    assert "data-player" in data["player"]
    (address,) = data["audio"].values()
    assert client.get(address).content[:4] == b"RIFF"


def test_a_line_is_made_again_alone_and_the_run_stays(client, review, engine, tmp_path):
    """The next take, as audio in the answer and after a reload; files are what they were."""
    folder = tmp_path / "out" / review.split("/")[4]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    spoken = len(engine.spoken)
    take = client.post(f"{review}/again", json=body_of(client, review)).json()
    assert take["take"] == 1
    assert take["audio_url"].startswith("data:audio/flac;base64,")
    assert engine.spoken[spoken:] == ["The second line."]
    files = [path for path in folder.iterdir() if path.is_file()]
    assert {path.name: path.read_bytes() for path in files} == before
    (again,) = client.get(review).json()["lines"][1]["takes"][1:]
    assert (again["take"], again["key"]) == (1, take["key"])
    assert client.get(again["url"]).headers["content-type"].startswith("audio/ogg")


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"text_sha256": "0" * 16}, 422, "the run has no"),
        ({"words": 5}, 422, "words"),
        ({"place": "../x"}, 422, "place"),
        ({"words": "x" * 2001}, 422, "2,000"),
    ],
)
@pytest.mark.parametrize("action", ["edits", "again"])
def test_a_wrong_edit_is_refused_and_nothing_is_kept(
    action, change, status, reason, client, review, tmp_path
):
    """A place that is not there would only fill the disk."""
    answer = client.post(f"{review}/{action}", json=body_of(client, review, **change))
    assert answer.status_code == status
    assert reason in answer.json()["detail"]
    assert not list(tmp_path.rglob("edits.json"))


def test_only_takes_of_the_run_are_served(client, review, tmp_path):
    """No other file of the server, by any name; and a run's name is checked as everywhere."""
    folder = tmp_path / "out" / review.split("/")[4]
    (folder / "review").mkdir(exist_ok=True)
    shutil.copy(folder / "run.json", folder / "review" / "run.json")
    for name in ("run.json", "..%2frun.json", "%2e%2e%2frun.json", "a.opus"):
        assert client.get(f"{review}/{name}").status_code == 404
    assert client.get("/api/v1/runs/..%2f..%2fx/review").status_code == 404


def test_bodies_are_json(client, review):
    """A form of another page is none; neither is half an object."""
    for action in ("edits", "again"):
        text = client.post(
            f"{review}/{action}", content="{}", headers={"Content-Type": "text/plain"}
        )
        assert text.status_code == 415
        assert client.post(f"{review}/{action}", json={"schema": 2}).status_code == 422
        half = {"Content-Type": "application/json"}
        assert client.post(f"{review}/{action}", content="{", headers=half).status_code == 422
    assert client.post(f"{review}/again", json={"schema": 1, "edits": []}).status_code == 422


def test_the_review_needs_the_key_and_its_own_origin(engine, tmp_path):
    """Before anything is read: without the key 401, from a foreign page 403."""
    open_to = partial(settings_in, tmp_path)
    with TestClient(make_app(open_to(api_key=KEY)), base_url="http://localhost") as client:
        for action in POSTS:
            assert client.post(f"/api/v1/runs/x/review/{action}").status_code == 401
        assert client.get("/api/v1/runs/x/review").status_code == 401
    with TestClient(make_app(open_to()), base_url="http://localhost") as client:
        for action in POSTS:
            foreign = {"Origin": "https://evil.example"}
            answer = client.post(f"/api/v1/runs/x/review/{action}", headers=foreign)
            assert answer.status_code == 403


def test_edits_are_on_the_disk_when_the_answer_comes(client, review, tmp_path):
    """What was said to be kept is in the run's edits.json, and comes back with the lines."""
    client.post(f"{review}/edits", json=body_of(client, review, flag=True, note="louder"))
    (path,) = tmp_path.rglob("edits.json")
    (edit,) = load_edits(path).edits
    assert (edit.flag, edit.note) == (True, "louder")
    assert client.get(review).json()["lines"][1]["edit"] == json.loads(edit.model_dump_json())
