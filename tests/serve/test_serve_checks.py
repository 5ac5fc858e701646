"""`verify` over HTTP: a field of a request, off for what is sent while it is made."""

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")
pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fakes import SpoilingEngine, speaking_with
from fastapi.testclient import TestClient
from serving import settings_in, until

from chatter_nb.base.errors import OutputError
from chatter_nb.base.hashing import chunk_seed
from chatter_nb.engines.hibari import HibariEngine
from chatter_nb.runs.folder import RunFolder
from chatter_nb.serve import service
from chatter_nb.serve.application import make_app

TEXT = "Every autumn the farmer mends his fences before the snow."
CHECKED = {"verify": "fast", "trim_tails": True}


def silent_middle(audio, words):
    """Most of the words are gone."""
    audio = audio.copy()
    audio[len(audio) // 4 : len(audio) // 2] = 0
    return audio


@pytest.fixture
def client(tmp_path):
    """A client of a service whose engine spoils the first take of `TEXT`."""
    with speaking_with(SpoilingEngine(HibariEngine())) as engine:
        seed = chunk_seed(seed=0, text=TEXT, occurrence=0, take=0)
        engine.spoilers[seed] = silent_middle
        with TestClient(make_app(settings_in(tmp_path)), base_url="http://localhost") as client:
            yield client


def record_of(folder, run):
    return RunFolder(folder / "out" / run).record()


def test_a_file_is_checked_where_the_request_asks(client, tmp_path):
    """Such a run has its review in its folder, as one of the command line has."""
    headers = {"Accept": "application/json"}
    answer = client.post("/api/v1/tts", json={"text": TEXT, **CHECKED}, headers=headers).json()
    checks = answer["run"]["checks"]
    assert (checks["level"], checks["checked"], checks["made_again"]) == ("fast", 1, 1)
    assert "asr_model" not in checks
    [chunk] = answer["run"]["chunks"]
    assert (chunk["take"], chunk["verdict"]) == (1, "ok")
    plain = client.post("/api/v1/tts", json={"text": TEXT}, headers=headers).json()
    assert plain["run"]["checks"]["level"] == "off"  # auto, with the embedded voice
    reviews = [path.parent.name for path in tmp_path.rglob("review.html")]
    assert reviews == [answer["run"]["run_name"]]


def test_a_run_is_done_though_its_review_cannot_be_written(client, monkeypatch, tmp_path):
    def full(speech):
        raise OutputError("disk full")

    monkeypatch.setattr(service, "write_checked_review", full)
    answer = client.post("/api/v1/tts", json={"text": TEXT, **CHECKED})
    assert answer.status_code == 200
    assert record_of(tmp_path, answer.headers["x-run"]).status == "ok"


@pytest.mark.parametrize(
    ("route", "field"), [("/api/v1/tts?stream=true", "text"), ("/v1/audio/speech", "input")]
)
def test_what_is_sent_as_it_is_made_is_checked_only_on_request(route, field, client, tmp_path):
    plain = client.post(route, json={field: TEXT})
    checked = client.post(route, json={field: TEXT, "verify": "fast"})
    records = [record_of(tmp_path, answer.headers["x-run"]) for answer in (plain, checked)]
    assert [record.params["verify"] for record in records] == ["off", "fast"]
    assert [record.chunks[0].take for record in records] == [0, 1]
    assert plain.content != checked.content


def test_a_job_is_checked(client, tmp_path):
    job = client.post("/api/v1/jobs", json={"text": TEXT, **CHECKED}).json()["id"]

    def ended():
        state = client.get(f"/api/v1/jobs/{job}").json()
        return state if state["status"] in ("done", "failed") else None

    assert until(ended)["status"] == "done"
    assert record_of(tmp_path, job).checks.made_again == 1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"asr_model": "/etc"}, "a request cannot set this"),
        ({"verify_workers": 4}, "a request cannot set this"),
        ({"verify": "loud"}, "'auto', 'off', 'fast' or 'full'"),
        ({"tries": 99}, "tries: should be less than or equal to 10"),
    ],
)
def test_bad_fields_are_told(values, message, client):
    answer = client.post("/api/v1/tts", json={"text": TEXT, **values})
    assert answer.status_code == 422
    assert message in answer.text
