"""Recordings over HTTP: of open length, of phones, of one name at once."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import media
import numpy as np
import pytest
import soundfile
from conftest import ROOT

pytest.importorskip("fastapi", reason="needs the extra [serve]")
pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fastapi.testclient import TestClient
from serving import settings_in

from chatter_nb.engines.voices import Library
from chatter_nb.serve import uploads
from chatter_nb.serve.application import make_app
from chatter_nb.serve.errors import Problem
from chatter_nb.serve.uploads import add_voice

RATE = 24_000
SPEECH, _ = soundfile.read(ROOT / "params" / "recordings" / "target.flac", dtype="float32")


def encoded(kind: str, seconds: float = 4.0) -> bytes:
    data = io.BytesIO()
    soundfile.write(data, SPEECH[: round(seconds * RATE)], RATE, format=kind, subtype="PCM_16")
    return data.getvalue()


def with_length(length: bytes) -> bytes:
    """A wav with this in the place of its length."""
    data = bytearray(encoded("WAV"))
    data[4:8] = data[40:44] = length
    return bytes(data)


@pytest.fixture
def client(tmp_path):
    with TestClient(make_app(settings_in(tmp_path)), base_url="http://localhost") as client:
        yield client


def add(client, name: str, data: bytes):
    return client.post("/api/v1/voices", data={"name": name}, files={"file": ("a", data)})


@pytest.mark.parametrize("length", [b"\xff" * 4, b"\xff\xff\xff\x7f", bytes(4)], ids=bytes.hex)
def test_a_wav_of_open_length_is_a_voice_and_a_source(length, client):
    data = with_length(length)
    added = add(client, "open", data)
    assert added.status_code == 201, added.text
    (listed,) = client.get("/api/v1/voices").json()["recordings"]
    assert listed == {"name": "open", "duration_s": 4.0}
    made = client.post("/api/v1/vc", files={"source": ("a.wav", data), "target": (None, "open")})
    assert made.status_code == 200, made.text
    assert soundfile.info(io.BytesIO(made.content)).frames == 4 * RATE


def test_what_the_service_streams_goes_in_again(client):
    body = {"model": "tts-1", "voice": "alloy", "input": "The rain came back.", "speed": 0.7}
    streamed = client.post("/v1/audio/speech", json=body | {"response_format": "wav"})
    assert streamed.status_code == 200, streamed.text
    files = {"source": ("a.wav", streamed.content), "target": ("b.wav", encoded("WAV"))}
    made = client.post("/api/v1/vc", files=files)
    assert made.status_code == 200, made.text
    decoded_s = len(streamed.content) / 2 / RATE
    assert soundfile.info(io.BytesIO(made.content)).duration == pytest.approx(decoded_s, abs=0.01)


def test_a_cut_wav_is_refused(client):
    refused = add(client, "cut", encoded("WAV")[:100_000])
    assert refused.status_code == 422
    assert "the recording is cut off: its header promises more than its 2.1 s" in refused.text


def test_a_phones_recording_is_a_voice_and_a_source(client, tmp_path):
    """Kept as it came. A damaged one, and one that unfolds beyond the limit, are refused."""
    media.write(tmp_path / "a.m4a", SPEECH[: 4 * RATE], RATE, "aac")
    media.write(tmp_path / "b.webm", SPEECH[: 2 * RATE], RATE, "libopus", video=True)
    phone, video = ((tmp_path / name).read_bytes() for name in ("a.m4a", "b.webm"))
    added = add(client, "mum", phone)
    assert added.status_code == 201, added.text
    assert added.json()["notes"] == []
    assert (tmp_path / "voices" / "mum.m4a").read_bytes() == phone
    made = client.post("/api/v1/vc", files={"source": ("b", video), "target": ("a", phone)})
    assert made.status_code == 200, made.text
    assert soundfile.info(io.BytesIO(made.content)).duration == pytest.approx(2, abs=0.03)
    damaged = add(client, "dad", phone[:500])
    assert damaged.status_code == 422
    assert "file: this is no recording that can be read (wav flac" in damaged.text
    media.write(tmp_path / "c.webm", np.zeros(130 * 8000, np.float32), 8000, "libopus")
    refused = add(client, "long", (tmp_path / "c.webm").read_bytes())
    assert refused.status_code == 422
    assert "the recording is longer than" in refused.text


def test_opposite_channels_are_a_voice_and_it_is_told(client):
    data = io.BytesIO()
    soundfile.write(data, np.stack([SPEECH, -SPEECH], axis=1), RATE, format="WAV")
    added = add(client, "eve", data.getvalue())
    assert added.status_code == 201, added.text
    (note,) = added.json()["notes"]
    assert "channel 1 alone is taken" in note


@pytest.mark.parametrize("kinds", [("WAV", "FLAC"), ("WAV", "WAV"), ("FLAC", "AIFF", "WAV", "AU")])
def test_of_one_name_uploaded_at_once_one_wins(kinds, tmp_path, monkeypatch):
    """All have looked for the name, and found it free, before any takes its place."""
    all_are_here = threading.Barrier(len(kinds))
    read_checked = uploads.read_checked

    def together(*args, **kwargs):
        all_are_here.wait(300)
        return read_checked(*args, **kwargs)

    monkeypatch.setattr(uploads, "read_checked", together)
    library = Library(tmp_path / "voices", tmp_path / "cache")

    def status(kind: str) -> int:
        try:
            add_voice("anna", io.BytesIO(encoded(kind)), library, longest_s=60)
        except Problem as problem:
            return problem.status
        return 201

    with ThreadPoolExecutor(len(kinds)) as pool:
        statuses = sorted(pool.map(status, kinds))
    assert statuses == [201] + [409] * (len(kinds) - 1)
    assert len(library.files()) == 1
    assert library.find("anna") == library.files()[0]
    assert not list((library.folder / uploads.INCOMING).iterdir())


def test_a_name_in_other_case_is_the_same(client):
    """Names are looked up without regard to case by some file systems, and by people."""
    assert add(client, "Anna", encoded("WAV")).status_code == 201
    refused = add(client, "anna", encoded("FLAC"))
    assert refused.status_code == 409
    assert "there is a voice 'anna' already" in refused.text


def test_every_voice_is_offered_and_heard_once_it_is_made(client, tmp_path, monkeypatch):
    """The sample is the same file until the voice changes; one that cannot speak has none."""
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path / "none"))
    offered = {voice["name"]: voice for voice in client.get("/api/v1/voices").json()["offered"]}
    assert list(offered) == ["heart", "emma", "fenrir", "fable", "kore"]
    assert offered["emma"]["sample"] is None
    assert "a download of 8 MB" in offered["emma"]["problem"]
    address = offered["heart"]["sample"]
    first = client.get(address)
    assert (first.status_code, first.headers["content-type"]) == (200, "audio/mpeg"), first.text
    (kept,) = (tmp_path / "out" / ".voices" / "samples").glob("hibari-*/speech.mp3")
    made = kept.stat().st_mtime_ns
    assert client.get(address).content == first.content == kept.read_bytes()
    assert kept.stat().st_mtime_ns == made
    for name, told in (("emma", "is not on this machine yet"), ("nobody", "no voice 'nobody'")):
        refused = client.get(f"/api/v1/voices/{name}/sample?engine=hibari")
        assert refused.status_code == 404
        assert told in refused.text
    assert client.get("/api/v1/voices/heart/sample?engine=none").status_code == 404


def test_samples_need_the_key_as_all_else(tmp_path):
    settings = settings_in(tmp_path, api_key="0123456789abcdef0123456789abcdef")
    with TestClient(make_app(settings), base_url="http://localhost") as client:
        assert client.get("/api/v1/voices/heart/sample").status_code == 401
