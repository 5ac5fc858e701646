"""What befalls a server: slow chunks at its end, odd files at its start, bodies that cost much."""

import json
import os
import signal
import socket
import threading
import time
from functools import partial

import pytest
from conftest import ROOT

pytest.importorskip("fastapi", reason="needs the extra [serve]")
pytest.importorskip("fastapi", reason="needs the extra [serve]")

import httpx
from fakes import ToneEngine, holding, speaking_with
from fastapi.testclient import TestClient
from serving import serving, settings_in, until

from chatter_nb.base.budget import ask
from chatter_nb.base.errors import InputError
from chatter_nb.runs.folder import RunFolder
from chatter_nb.serve import application
from chatter_nb.serve.application import make_app
from chatter_nb.serve.bodies import parse_json
from chatter_nb.serve.errors import Problem
from chatter_nb.serve.jobs import Jobs
from chatter_nb.serve.outputs import expire, new_name, tidy
from chatter_nb.serve.server import running
from chatter_nb.serve.service import Service
from chatter_nb.serve.settings import Limits

SPEECH = {"model": "tts-1", "voice": "alloy", "response_format": "pcm"}
WEEK_S = 7 * 86_400.0
# Speaks for a minute, as Chatterbox may on a small machine; started in place of `chatter_nb`.
SLOW = """
import time
from chatter_nb.engines import hibari
plain = hibari.HibariEngine.synthesize
def slow(self, requests):
    requests = list(requests)
    print("begun", flush=True)
    time.sleep(3_600)
    yield from plain(self, requests)
hibari.HibariEngine.synthesize = slow
"""


@pytest.fixture
def settings(tmp_path):
    return partial(settings_in, tmp_path)


@pytest.fixture
def client(settings):
    with TestClient(make_app(settings()), base_url="http://localhost") as client:
        yield client


def refused(answer: httpx.Response, *told: str) -> None:
    assert answer.status_code == 422, answer.text
    for words in told:
        assert words in answer.json()["detail"]


# -- the end


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_slow_chunk_does_not_hold_the_end_up(tmp_path):
    """SIGTERM in a chunk of an hour: its client is told in the envelope, long before."""
    (tmp_path / "sitecustomize.py").write_text(SLOW)
    env = {"PYTHONPATH": str(tmp_path)}
    with serving(tmp_path / "server", "--engine", "hibari", "--preload", env=env) as server:
        answers = []

        def ask(path, body):
            answers.append(httpx.post(server.url + path, json=body, timeout=600))

        asked = [
            threading.Thread(target=ask, args=("/api/v1/tts", {"text": "Slow."})),
            threading.Thread(target=ask, args=("/v1/audio/speech", SPEECH | {"input": "Next."})),
        ]
        asked[0].start()
        until(lambda: "begun" in server.log.read_text())  # else the other may be the first in line
        asked[1].start()
        until(lambda: waiting(server.url) == 1)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(600)
        for one in asked:
            one.join()
    assert [answer.status_code for answer in answers] == [503, 503]
    assert {answer.json()["error_code"] for answer in answers} == {"SHUTTING_DOWN"}
    assert "Traceback" not in server.log.read_text()


def test_who_hangs_up_on_a_stream_in_line_frees_the_place(settings):
    """Before the first sound, too: the line is empty again while another text is in hand."""
    with speaking_with(ToneEngine()) as engine, running(settings(port=0, max_queue=2)) as url:
        port = int(url.rpartition(":")[2])
        with holding(engine) as begun:
            lines = [asking(port, "In hand.")]
            assert begun.wait(600)
            lines += [asking(port, f"In line, {n}.") for n in range(2)]
            until(lambda: waiting(url) == 2)
            for line in lines[1:]:
                line.close()
            until(lambda: waiting(url) == 0)
        lines[0].close()


def waiting(url: str) -> int:
    return httpx.get(f"{url}/api/v1/health", timeout=600).json()["waiting"]["hibari"]


def asking(port: int, text: str) -> socket.socket:
    body = json.dumps(SPEECH | {"input": text}).encode()
    head = f"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    line = socket.create_connection(("127.0.0.1", port))
    line.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
    return line


# -- the beginning: jobs of an earlier server


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", "5", '{"created": "x"}', "\0"])
def test_an_odd_file_among_the_jobs_is_left_alone(content, settings):
    """The others are taken up, and what is odd is no job."""
    before = Service(settings())
    jobs = Jobs(before)
    before.close()
    folder = before.settings.outputs / ".jobs"
    folder.mkdir(parents=True)
    odd = folder / f"{new_name('job')}.json"
    odd.write_text(content)
    asked = {"created": "2026-01-01T00:00:00Z", "values": {"text": "Sound."}}
    (folder / f"{new_name('job')}.json").write_text(json.dumps(asked))
    after = Service(settings())
    jobs = Jobs(after)
    assert jobs.resume() == 1
    (job,) = jobs.all()
    assert until(lambda: jobs.find(job.id).status == "done")
    jobs.expire(WEEK_S)
    assert odd.read_text() == content
    after.close()


def test_more_jobs_than_the_line_has_room_for_are_all_taken_up(settings):
    """They were accepted: the bound is for new ones."""
    with speaking_with(ToneEngine()) as engine:
        first = Service(settings(max_jobs=5))
        held = threading.Event()
        plain = engine.synthesize
        engine.synthesize = lambda requests: (one for one in plain(requests) if held.wait(600))
        jobs = Jobs(first)
        names = [jobs.add({"text": f"Job {n}."}).id for n in range(4)]
        first.close()
        held.set()
        assert first.join()
        second = Service(settings(max_jobs=1))
        jobs = Jobs(second)
        left = [name for name in names if jobs.find(name).status == "queued"]
        assert len(left) >= 3
        assert jobs.resume() == len(left)
        until(lambda: {jobs.find(name).status for name in left} == {"done"})
        second.close()


def test_a_job_that_another_server_still_writes_is_not_failed(settings):
    """It waits for the next server, and says why; when its run is proved it is done."""
    service = Service(settings())
    jobs = Jobs(service)
    folder = RunFolder(service.settings.outputs / new_name("job"))
    asked = {"created": "2026-01-01T00:00:00Z", "values": {"text": "Held."}}
    (service.settings.outputs / ".jobs").mkdir(parents=True)
    (service.settings.outputs / ".jobs" / f"{folder.path.name}.json").write_text(json.dumps(asked))
    with folder.locked():
        assert jobs.resume() == 1
        until(lambda: jobs.find(folder.path.name).error)
        assert jobs.find(folder.path.name).status == "queued"
    assert jobs.resume() == 1
    until(lambda: jobs.find(folder.path.name).status == "done")
    assert jobs.find(folder.path.name).error is None
    service.close()


def test_a_job_is_not_deleted_under_its_chunk(settings):
    """Cancelled twice while it is written: it stays until the chunk has ended, then goes whole."""
    with speaking_with(ToneEngine()) as engine:
        plain, held = engine.synthesize, threading.Event()
        engine.synthesize = lambda requests: (one for one in plain(requests) if held.wait(600))
        service = Service(settings())
        jobs = Jobs(service)
        name = jobs.add({"text": "One.\n\nTwo."}).id
        until(lambda: (service.settings.outputs / name).exists())
        for _ in range(3):
            assert jobs.cancel(name).status == "cancelled"
        assert (service.settings.outputs / name).exists()
        held.set()
        until(lambda: not jobs.active(name))
        jobs.cancel(name)
        left = list(service.settings.outputs.rglob(f"*{name}*"))
        assert left == []
        service.close()


def test_a_job_that_ended_two_servers_does_not_end_a_third(settings):
    """It is set aside with its reason and keeps its file; the server goes on with others."""
    with speaking_with(ToneEngine()) as engine:
        plain, begun, held = engine.check_text, threading.Semaphore(0), threading.Event()

        def deadly(text, language):
            if text == "Deadly.":
                begun.release()
                held.wait(600)
            return plain(text, language)

        engine.check_text = deadly
        killed = [Service(settings()) for _ in range(2)]  # neither ends in order
        name = Jobs(killed[0]).add({"text": "Deadly."}).id
        assert begun.acquire(timeout=300)
        assert Jobs(killed[1]).resume() == 1
        assert begun.acquire(timeout=300)
        with TestClient(make_app(settings()), base_url="http://localhost") as client:
            job = lambda name: client.get(f"/api/v1/jobs/{name}").json()  # noqa: E731
            until(lambda: job(name)["status"] == "failed")
            assert job(name)["error"].startswith("set aside: 2 servers ended in the middle of it")
            assert (settings().outputs / ".jobs" / f"{name}.json").exists()
            other = client.post("/api/v1/jobs", json={"text": "Alive."}).json()["id"]
            until(lambda: job(other)["status"] == "done")
        held.set()
        for service in killed:
            service.close()
            assert service.join()


def test_a_job_that_goes_on_is_not_set_aside(settings):
    """Killed each time after another chunk: that is a slow job, not one that ends servers."""
    service = Service(settings())
    jobs = Jobs(service)
    done = jobs.add({"text": "One.\n\nTwo."}).id
    until(lambda: jobs.find(done).status == "done")
    record = jobs.folder(done).record()
    keys = tuple(chunk.key for chunk in record.chunks)
    begun = record.model_copy(update={"status": "running", "planned_keys": keys})
    names = {kept: new_name("job") for kept in (1, 2)}
    for kept, name in names.items():
        jobs.folder(name).path.mkdir()
        jobs.folder(name).begin(begun)
        asked = {"created": record.started, "values": {"text": "Two."}, "tries": 2, "kept": kept}
        (service.settings.outputs / ".jobs" / f"{name}.json").write_text(json.dumps(asked))
    assert jobs.resume() == 1
    until(lambda: jobs.find(names[1]).status == "done")
    assert jobs.find(names[2]).status == "failed"
    service.close()


def test_a_text_that_is_planned_stops_with_the_server(settings):
    """Health answers meanwhile; the job waits for the next server, with nothing against it."""
    with speaking_with(ToneEngine()) as engine, running(settings(port=0)) as url:
        begun = threading.Event()
        plain = engine.check_text

        def endless(text, language):
            begun.set()
            while True:
                ask("a step of many")

        engine.check_text = endless
        name = httpx.post(f"{url}/api/v1/jobs", json={"text": "Long."}).json()["id"]
        assert begun.wait(600)
        assert httpx.get(f"{url}/api/v1/health").status_code == 200
    engine.check_text = plain
    kept = json.loads(next(settings().outputs.rglob(f".jobs/{name}.json")).read_text())
    assert (kept["ended"], kept["tries"]) == (None, 0)


# -- what is swept away


def aged(path, seconds: float) -> None:
    then_s = time.time() - seconds
    os.utime(path, (then_s, then_s))


def test_what_a_killed_server_left_goes(settings):
    """Recordings of people, and runs without a record; not what may still be in hand."""
    service = Service(settings())
    outputs, voices = service.settings.outputs, service.catalog.library.folder
    for folder in (outputs / ".uploads", outputs / "page_uploads" / "x", voices / ".incoming"):
        folder.mkdir(parents=True)
        (folder / "new.wav").write_text("")
        (folder / "old.wav").write_text("")
        aged(folder / "old.wav", WEEK_S)
    begun, left = outputs / new_name("tts"), outputs / new_name("tts")
    begun.mkdir()
    left.mkdir()
    aged(left, WEEK_S)
    tidy(service.settings)
    expire(service.settings, 1.0, lambda name: False)
    kept = sorted(path.name for path in service.settings.outputs.parent.rglob("*.wav"))
    assert kept == ["new.wav"] * 3
    assert (begun.exists(), left.exists()) == (True, False)
    service.close()


def test_a_cancelled_job_is_remembered_until_it_is_old(settings):
    """Though it never had a folder."""
    service = Service(settings())
    jobs = Jobs(service)
    path = service.settings.outputs / ".jobs" / f"{new_name('job')}.json"
    path.parent.mkdir(parents=True)
    asked = {"created": "2026-01-01T00:00:00Z", "values": {"text": "x"}, "ended": "cancelled"}
    path.write_text(json.dumps(asked))
    jobs.expire(WEEK_S)
    assert jobs.find(path.stem).status == "cancelled"
    aged(path, 2 * WEEK_S)
    jobs.expire(WEEK_S)
    with pytest.raises(Problem, match="there is no job"):
        jobs.find(path.stem)
    service.close()


def test_sweeping_goes_on_after_an_error(settings, monkeypatch):
    """One odd file must not end it for all others."""
    monkeypatch.setattr(application, "_SWEEP_S", 0.01)
    tries = []

    def odd(service):
        tries.append(None)
        raise OSError("odd")

    monkeypatch.setattr(application, "tidy", odd)
    with TestClient(make_app(settings()), base_url="http://localhost"):
        until(lambda: len(tries) > 2)


# -- bodies that cost much


def test_many_names_are_looked_through_in_no_time():
    """A name given twice among a hundred thousand: linear, or this test would take minutes."""
    pairs = [f'"n{n}": 0' for n in range(100_000)]
    with pytest.raises(Problem, match="'n7' is given twice"):
        parse_json(("{" + ", ".join([*pairs, '"n7": 0']) + "}").encode())


def test_errors_are_not_longer_than_what_was_asked(client):
    """Thousands of faults, a few kilobytes of sentences."""
    refused(client.post("/api/v1/tts", json={f"n{n}": 0 for n in range(5_000)}), "5,000 fields")
    wrong = {f"n{n}": 0 for n in range(5_000)}
    answer = client.post("/api/v1/tts", json={"text": "Hi.", "replacements": wrong})
    refused(answer, "replacements")
    assert len(answer.content) < 10_000


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"text": "a[pause 60s] " * 1_000}, "h of audio; up to about 2.0 h"),
        ({"text": "a " * 20_000, "replacements": {"a": "hello there " * 1_000}}, "could make"),
        (
            {"text": "word " * 9_000, "replacements": {f"w{n}": "x" for n in range(5_000)}},
            "up to 4,444 are replaced",
        ),
    ],
)
def test_a_short_body_cannot_ask_for_days_of_audio(values, told, client):
    """By pauses, or by words that grow: refused before it is made."""
    refused(client.post("/api/v1/tts", json=values), told)


def test_a_run_that_outgrows_its_limit_is_stopped_and_kept(settings):
    """Estimates go by characters; prices are spoken eight times as long."""
    limits = Limits(audio_s=40.0)
    with TestClient(make_app(settings(limits=limits)), base_url="http://localhost") as client:
        text = "It is $987,654,321.99 or 987654321.\n\n" * 12
        answer = client.post("/api/v1/tts", json={"text": text, "normalize": "off"})
        refused(answer, "stopped after", "of 12 chunks", "of audio, and up to", "they are kept")
        (record,) = settings().outputs.glob("tts-*/run.json")
        run = json.loads(record.read_text())
        assert run["status"] == "failed"
        assert run["error"] == answer.json()["detail"]
        assert list(settings().outputs.rglob("*.npy"))


def test_a_job_that_outgrows_its_limit_says_so(settings):
    limits = Limits(job_audio_s=40.0)
    with TestClient(make_app(settings(limits=limits)), base_url="http://localhost") as client:
        text = "It is $987,654,321.99 or 987654321.\n\n" * 12
        body = {"text": text, "normalize": "off"}
        name = client.post("/api/v1/jobs", json=body).json()["id"]
        found = lambda: client.get(f"/api/v1/jobs/{name}").json()  # noqa: E731
        until(lambda: found()["status"] == "failed")
        assert found()["error"].startswith("stopped after")
        assert 0 < found()["done"] < found()["total"]


def test_replacements_of_a_usual_size_are_taken(client):
    body = {"text": "Dr. No waits. " * 50, "replacements": {"Dr": "Doctor", "No": "Nein"}}
    assert client.post("/api/v1/tts", json=body).status_code == 200


# -- nothing is passed over


def test_what_a_route_does_not_have_is_refused(client):
    """Query parameters and fields by name; more bits than a stream has."""
    refused(client.get("/api/v1/voices", params={"engin": "x"}), "'engin'", "takes: engine")
    refused(client.post("/api/v1/jobs?stream=true", json={"text": "x"}), "'stream'", "none")
    file = {"file": (ROOT / "params" / "recordings" / "target.flac").read_bytes()}
    refused(client.post("/api/v1/voices", data={"name": "a", "foo": "1"}, files=file), "'foo'")
    refused(client.post("/api/v1/voices", data={"name": "default"}, files=file), "own voice")
    refused(client.post("/api/v1/tts?stream=true", json={"text": "x", "wav_bits": 32}), "wav_bits")
    refused(client.post("/api/v1/tts", json={"text": " "}), "text: there is nothing to speak")
    blank = client.post("/v1/audio/speech", json=SPEECH | {"input": "  "})
    assert blank.json()["error"]["message"] == "input: there is nothing to speak"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/json"),
        ("application/json, text/plain, */*", "audio/wav"),
        ("audio/wav, application/json;q=0.5", "audio/wav"),
        ("*/*", "audio/wav"),
    ],
)
def test_json_is_for_those_who_ask_for_it(accept, kind, client):
    answer = client.post("/api/v1/tts", json={"text": "Hi."}, headers={"Accept": accept})
    assert answer.headers["content-type"] == kind


@pytest.mark.parametrize("origin", ["*", "https://page.example/", "page.example", "null"])
def test_an_origin_is_named_as_browsers_do(origin, settings):
    with pytest.raises(InputError, match="cors-origin"):
        settings(cors_origins=(origin,))


def test_a_key_is_of_letters_that_every_client_sends(settings):
    with pytest.raises(InputError, match="use ASCII"):
        settings(api_key="ein-schlüssel-mit-umlaut")


def test_a_method_of_a_clients_own_is_no_series(client):
    for n in range(3):
        client.request(f"ZZ{n}", "/api/v1/health")
    text = client.get("/api/v1/metrics").text
    assert 'method="other"' in text
    assert "ZZ" not in text
    assert 'chatter_queue_length{line="jobs",worker="hibari"} 0.0' in text


def test_a_reader_that_does_not_read_is_told_why(settings):
    """The last event names its own slowness, not a shutdown."""
    small = settings(port=0, limits=Limits(backlog_bytes=100_000))
    text = "\n\n".join(f"Sentence {n} of a long text." for n in range(60))
    with running(small) as url:
        body = SPEECH | {"input": text, "stream_format": "sse"}
        with httpx.stream("POST", f"{url}/v1/audio/speech", json=body, timeout=600) as answer:
            lines = (line for line in answer.iter_lines() if line)
            next(lines)
            # Its turn comes when the text before it is done with.
            httpx.post(f"{url}/api/v1/tts", json={"text": "Next."}, timeout=600)
            *_, last = lines
    told = json.loads(last[6:])
    assert (told["type"], told["code"]) == ("error", "request_timeout")
    assert "untaken" in told["message"]
