"""Streams that are heard in parts: who asks for them, who does not get them, and what they send."""

import io

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fastapi.testclient import TestClient
from serving import settings_in

from chatter_nb.runs.speech import load_speech
from chatter_nb.serve.application import make_app

TEXT = "When the old clock struck nine, the children ran down the stairs. Nobody saw them go."
UNKNOWN_LENGTH = b"\xff\xff\xff\xff"


@pytest.fixture
def client(tmp_path):
    with TestClient(make_app(settings_in(tmp_path)), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def openai(client):
    """What `POST /v1/audio/speech` answers."""

    def ask(**values):
        own = {"model": "hibari", "input": TEXT, "response_format": "pcm", "seed": 3}
        return client.post("/v1/audio/speech", json=own | values)

    return ask


@pytest.fixture
def run_of(tmp_path):
    """The finished run of an answer."""
    return lambda answer: load_speech(tmp_path / "out" / answer.headers["X-Run"])


def samples(answer):
    return np.frombuffer(answer.content, "<i2")


def test_a_stream_of_a_fast_engine_is_heard_in_parts_unless_the_request_says_no(openai, run_of):
    plain, left_out, again = openai(parts=False), openai(), openai()
    asked_first = openai(seed=4)
    record = run_of(asked_first).record
    assert record.chunks[0].streamed
    assert len(samples(asked_first)) != round(record.audio_s * 24_000)
    file, _ = soundfile.read(run_of(plain).files[0], dtype="int16")
    assert np.array_equal(samples(plain), file)
    assert not run_of(plain).record.chunks[0].streamed
    # A chunk that was there before is heard as it is, and both times alike.
    assert left_out.content == again.content == plain.content


def test_the_same_request_sends_the_same_bytes(openai, run_of):
    first, again = openai(seed=8), openai(seed=8)
    assert first.headers["X-Run"] != again.headers["X-Run"]
    assert first.content == again.content
    assert all(run_of(answer).record.chunks[0].streamed for answer in (first, again))


def test_a_wav_of_one_chunk_comes_whole_unless_parts_are_asked_for(openai, client, run_of):
    whole = openai(response_format="wav")
    assert UNKNOWN_LENGTH not in whole.content[:44]
    assert int(whole.headers["Content-Length"]) == len(whole.content)
    in_parts = openai(response_format="wav", parts=True, seed=5)
    assert in_parts.content[4:8] == UNKNOWN_LENGTH
    assert run_of(in_parts).record.chunks[0].streamed
    audio, rate = soundfile.read(io.BytesIO(in_parts.content))
    assert (rate, len(audio) > rate) == (24_000, True)
    own = client.post(
        "/api/v1/tts?stream=true&parts=true", json={"text": TEXT, "engine": "hibari", "seed": 6}
    )
    assert own.content[4:8] == UNKNOWN_LENGTH


def test_where_nobody_hears_the_beginning_there_are_no_parts(openai, run_of):
    """A flac is sent whole, and a checked chunk after its verdict."""
    flac = openai(response_format="flac", parts=True)
    assert not run_of(flac).record.chunks[0].streamed
    checked = openai(verify="fast", parts=True, seed=7)
    file, _ = soundfile.read(run_of(checked).files[0], dtype="int16")
    assert np.array_equal(samples(checked), file)


def test_parts_are_of_a_stream_and_yes_or_no(openai, client):
    asked = {"text": TEXT}
    answer = client.post("/api/v1/tts?parts=true", json=asked)
    assert (answer.status_code, "stream=true" in answer.json()["detail"]) == (422, True)
    answer = client.post("/api/v1/tts?stream=true&parts=maybe", json=asked)
    assert (answer.status_code, "parts" in answer.json()["detail"]) == (422, True)
    answer = client.post("/api/v1/tts?stream=true", json=asked | {"parts": True})
    assert "parts: it belongs in the address, as ?parts=true" in answer.json()["detail"]
    answer = openai(parts="maybe")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "parts")


def test_the_documents_know_parts(client):
    paths = client.get("/openapi.json").json()["paths"]
    names = [one["name"] for one in paths["/api/v1/tts"]["post"]["parameters"]]
    assert names == ["stream", "parts"]
    body = paths["/v1/audio/speech"]["post"]["requestBody"]["content"]["application/json"]
    assert "parts" in body["schema"]["properties"]
