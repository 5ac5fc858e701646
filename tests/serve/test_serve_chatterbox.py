"""The service on a random Chatterbox checkpoint: two voices, a job that lets requests pass."""

import io

import numpy as np
import pytest
import soundfile
from conftest import ROOT

pytest.importorskip("torch")
pytest.importorskip("chatterbox", reason="needs chatterbox-tts")
pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fastapi.testclient import TestClient
from huggingface_hub import constants

from chatter_nb.engines import models
from chatter_nb.engines.models import Choice, unload
from chatter_nb.engines.registry import EngineEntry
from chatter_nb.engines.watermark import load_perth
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.speak import generate_tts
from chatter_nb.serve.application import make_app
from chatter_nb.serve.jobs import Jobs
from chatter_nb.serve.offers import Catalog
from chatter_nb.serve.outputs import new_name
from chatter_nb.serve.service import Listener, Service
from chatter_nb.serve.settings import Settings

TARGET = ROOT / "params" / "recordings" / "target.flac"
JOB = "\n\n".join(f"Paragraph number {n} of the job is here." for n in range(6))
QUICK = {"chunk_chars": 60, "n_cfm_timesteps": 1}


@pytest.fixture(scope="module", autouse=True)
def _unloaded():
    yield
    unload()


@pytest.fixture
def settings(tiny, tmp_path):
    machine = {"checkpoint": str(tiny()), "device": "cpu", "precision": "exact", "rows": 2}
    places = {"outputs_dir": str(tmp_path / "out"), "voices_dir": str(tmp_path / "voices")}
    return Settings(engine="chatterbox", machine=machine, web_page=False, **places)


@pytest.fixture
def direct(settings, tmp_path):
    """The same request without a server, in a folder and a store of its own."""

    def made(values):
        own = settings.server_values(SpeakParams) | {"outputs_dir": str(tmp_path / "own"), **values}
        return generate_tts(SpeakParams.create(own | {"engine": "chatterbox"}))

    return made


def test_requests_pass_a_job_on_the_same_model_and_change_nothing(settings, direct):
    """Decoding that rests between two chunks is not touched by a run in between."""
    service = Service(settings)
    jobs = Jobs(service)
    asked = [{"text": f"Request {n} passes the job.", "seed": n, **QUICK} for n in range(3)]
    order, tasks = [], []

    def submit_during_the_job(step):
        if step.done == 2:
            for values in asked:
                task = service.submit(service.catalog.speech(values, new_name("tts")))
                task.result.add_done_callback(lambda _: order.append("request"))
                tasks.append(task)

    params = service.catalog.speech({"text": JOB, "seed": 9, **QUICK}, new_name("job"))
    job = service.submit(params, on_progress=submit_during_the_job, job=True)
    job.result.add_done_callback(lambda _: order.append("job"))
    made = job.result.result(timeout=600)
    assert order == ["request"] * 3 + ["job"]
    assert (
        made.record.files[0].sha256
        == direct({"text": JOB, "seed": 9, **QUICK}).record.files[0].sha256
    )
    for values, task in zip(asked, tasks, strict=True):
        ours = task.result.result()
        assert ours.record.files[0].sha256 == direct(values).record.files[0].sha256
    assert jobs.all() == []
    service.close()


def test_each_request_is_spoken_in_its_own_voice(settings, second_voice, direct):
    """Two recordings, cloned in turn: what comes back is what each alone gives."""
    with TestClient(make_app(settings), base_url="http://localhost") as client:
        for name, path in (("anna", TARGET), ("bert", second_voice)):
            files = {"file": ("x", path.read_bytes())}
            assert (
                client.post("/api/v1/voices", data={"name": name}, files=files).status_code == 201
            )
        answers = {}
        for number, voice in enumerate(["anna", "bert", "anna", "bert"]):
            body = {"text": "The same words.", "seed": number // 2, "voice": voice, **QUICK}
            answer = client.post("/api/v1/tts", json=body)
            assert answer.status_code == 200, answer.text
            own = direct(body | {"run_name": f"own{number}"})
            assert answer.content == own.files[0].read_bytes()
            answers[voice, number // 2] = answer.content
        assert len(set(answers.values())) == 4
        by_upload = {"text": (None, "The same words."), "voice": ("a.flac", TARGET.read_bytes())}
        by_upload |= {name: (None, str(value)) for name, value in QUICK.items()}
        answer = client.post("/api/v1/tts", files=by_upload)
        assert answer.content == answers["anna", 0]


def test_a_speaker_has_a_voice_of_the_folder_and_no_other_file(settings):
    """Not in the cast, not as the narrator, not in a mark of the text; the file is there."""
    with TestClient(make_app(settings), base_url="http://localhost") as client:
        anna = {"data": {"name": "anna"}, "files": {"file": ("a.flac", TARGET.read_bytes())}}
        assert client.post("/api/v1/voices", **anna).status_code == 201
        say = "Hello there."
        for values in (
            {"text": say, "cast": {"Fox": str(TARGET)}},
            {"text": say, "cast": {"Fox": {"voice": str(TARGET)}}},
            {"text": say, "narrator": str(TARGET)},
            {"text": f"[voice: {TARGET}] {say}"},
            {"text": f"[voice: params/recordings/{TARGET.name}] {say}"},
        ):
            answer = client.post("/api/v1/tts", json=values | QUICK)
            assert answer.status_code in (404, 422), values
            assert str(settings.voices) not in answer.text
        for values in (
            {"text": f"Fox: {say}", "cast": {"Fox": "anna"}},
            {"text": f"[voice: anna] {say}"},
        ):
            assert client.post("/api/v1/tts", json=values | QUICK).status_code == 200


def test_a_recording_is_offered_with_its_doubts_and_its_sample_follows_it(settings, second_voice):
    """A new recording of the name is another voice, whose sample is made anew."""
    with TestClient(make_app(settings), base_url="http://localhost") as client:

        def added(recording: bytes) -> dict:
            files = {"file": ("x", recording)}
            answer = client.post("/api/v1/voices", data={"name": "anna"}, files=files)
            assert answer.status_code == 201, answer.text
            default, anna = client.get("/api/v1/voices").json()["offered"]
            assert (default["name"], anna["name"]) == ("default", "anna")
            notes = [note.split(": ")[1] for note in answer.json()["notes"]]
            assert [doubt.split(": ")[1] for doubt in anna["doubts"]] == notes
            return anna

        anna = added(TARGET.read_bytes())
        assert (anna["about"], anna["doubts"]) == ("11.2 s, -21 dB", [])
        samples = [client.get(anna["sample"]), client.get("/api/v1/voices/default/sample")]
        client.delete("/api/v1/voices/anna")
        signal, rate = soundfile.read(second_voice)
        data = io.BytesIO()
        soundfile.write(data, np.concatenate([np.zeros(4 * rate), signal]), rate, format="WAV")
        (doubt,) = added(data.getvalue())["doubts"]
        assert "s without speech at its beginning are left out" in doubt
        samples.append(client.get(anna["sample"]))
        assert [answer.status_code for answer in samples] == [200] * 3, samples[0].text
        assert len({answer.content for answer in samples}) == 3


def test_a_model_that_is_not_here_is_not_fetched(tmp_path, monkeypatch):
    """Nobody waits for gigabytes: `auto` speaks with what is here, and the command is told."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(models, "pick_device", lambda *_, **__: Choice("cuda", "as if there"))
    settings = Settings(outputs_dir=str(tmp_path / "out"), web_page=False)
    with TestClient(make_app(settings), base_url="http://localhost") as client:
        speaks = client.get("/api/v1/config").json()["engines"]
        assert speaks["default"] == "hibari"
        assert "chatter-nb fetch chatterbox" in speaks["reason"]
        asked = {"text": "Not here.", "engine": "chatterbox"}
        answer = client.post("/api/v1/tts", json=asked)
    assert answer.status_code == 503
    assert "chatter-nb fetch chatterbox" in answer.json()["detail"]
    assert not (tmp_path / "hub").exists()


def test_libraries_are_imported_before_anybody_waits(settings, monkeypatch):
    """Of engines that can speak here, and only of those."""
    imported = []
    monkeypatch.setattr(
        EngineEntry, "engine_class", lambda entry: imported.append(entry.class_name)
    )
    Catalog(settings).import_engines()
    assert set(imported) == {"ChatterboxEngine", "ChatterboxConverter"}
    imported.clear()
    Catalog(Settings(engine="hibari")).import_engines()
    assert imported == []


def test_a_stream_is_watermarked(settings):
    """Chunk by chunk, so that nobody waits a minute; what was heard is what the file holds."""
    service, blocks = Service(settings), []
    listener = Listener(lambda plan: None, blocks.append, lambda speech: None)
    text = "It is heard while it is made, and it carries the mark. " * 4
    values = {"text": text, "n_cfm_timesteps": 1, "wav_bits": 32, "chunk_chars": 120}
    params = service.catalog.speech(values, new_name("tts"))
    speech = service.submit(params, listener=listener).result.result(timeout=600)
    heard = np.concatenate(blocks)
    assert np.array_equal(heard, speech.read()[0])
    assert len(blocks) >= len(speech.record.chunks)
    assert load_perth().get_watermark(heard, 24_000, round=False).mean() > 0.9
    assert RunFolder(speech.folder).is_proved()
    service.close()
