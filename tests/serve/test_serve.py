"""The service's parts: its line of work, bodies, who may come in, streams, jobs."""

import io
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
import soundfile
from conftest import ROOT

pytest.importorskip("fastapi", reason="needs the extra [serve]")
pytest.importorskip("fastapi", reason="needs the extra [serve]")

import av
import httpx
from fakes import ToneEngine, speaking_with
from fastapi.testclient import TestClient
from serving import settings_in, until

from chatter_nb.audio.reading import inspect_audio
from chatter_nb.base.errors import InputError, OutputError, ParamError
from chatter_nb.engines.registry import entries, entry
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.speak import generate_tts
from chatter_nb.serve.application import make_app
from chatter_nb.serve.bodies import WITHHELD, json_schema, open_names, parse_json
from chatter_nb.serve.encoding import STREAMED, StreamEncoder, encodable
from chatter_nb.serve.errors import Problem
from chatter_nb.serve.jobs import Jobs
from chatter_nb.serve.outputs import expire
from chatter_nb.serve.server import running
from chatter_nb.serve.service import Service
from chatter_nb.serve.settings import Settings
from chatter_nb.serve.uploads import keep_upload
from chatter_nb.serve.worker import Worker

KEY = "a-key-of-enough-characters"
RATE = 24_000
READING = ROOT / "params" / "recordings" / "reading.flac"


@pytest.fixture
def settings(tmp_path):
    """A server's settings, in the test's own folder."""
    return partial(settings_in, tmp_path)


@contextmanager
def client_of(settings: Settings):
    with TestClient(make_app(settings), base_url="http://localhost") as client:
        yield client


@pytest.fixture
def client(settings):
    with client_of(settings()) as client:
        yield client


def worker(max_queue: int = 4, max_jobs: int = 4) -> Worker:
    return Worker("test", max_queue=max_queue, max_jobs=max_jobs)


# -- the worker


def test_a_worker_makes_one_thing_at_a_time_in_order():
    """Ten pieces of work never overlap, and come out in the order in which they came in."""
    line, done, inside = worker(max_queue=10), [], threading.Lock()

    def work(number):
        def made(cancelled):
            assert inside.acquire(blocking=False)
            time.sleep(0.002)
            done.append(number)
            inside.release()

        return made

    tasks = [line.submit(work(number)) for number in range(10)]
    for task in tasks:
        task.result.result(timeout=300)
    assert done == list(range(10))


def test_a_full_line_refuses_and_says_when_to_come_back():
    """The third request, behind one in hand and one that waits, is refused."""
    line, begun, go_on = worker(max_queue=1), threading.Event(), threading.Event()
    line.submit(lambda cancelled: (begun.set(), go_on.wait(300)))
    assert begun.wait(300)
    line.submit(lambda cancelled: None)
    with pytest.raises(Problem) as full:
        line.submit(lambda cancelled: None)
    assert full.value.status == 429
    assert int(full.value.headers["Retry-After"]) > 0
    go_on.set()


def test_who_gives_up_while_waiting_frees_the_place_at_once():
    """A cancelled task counts no longer, and its work is never begun."""
    line, begun, go_on, made = worker(max_queue=1), threading.Event(), threading.Event(), []
    line.submit(lambda cancelled: (begun.set(), go_on.wait(300)))
    assert begun.wait(300)
    waiting = line.submit(lambda cancelled: made.append("given up"))
    waiting.cancel()
    last = line.submit(lambda cancelled: made.append("last"))
    go_on.set()
    last.result.result(timeout=300)
    assert made == ["last"]
    with pytest.raises(CancelledError):
        waiting.result.result(timeout=300)


def test_a_job_lets_requests_pass_between_its_chunks():
    """A request that comes during a job is made before the job ends, on the job's own thread."""
    line, order, begun = worker(), [], threading.Event()

    def job(cancelled):
        for _ in range(50):
            begun.set()
            time.sleep(0.01)
            line.let_pass()
        order.append(("job", threading.current_thread().name))

    task = line.submit(job, job=True)
    assert begun.wait(300)
    line.submit(lambda cancelled: order.append(("request", threading.current_thread().name)))
    task.result.result(timeout=300)
    assert [who for who, _ in order] == ["request", "job"]
    assert len({thread for _, thread in order}) == 1


def test_closing_cancels_what_waits_and_tells_what_is_in_hand():
    """The work in hand learns of it through `cancelled`; what waits is never begun."""
    line, begun = worker(), threading.Event()

    def in_hand(cancelled):
        begun.set()
        while not cancelled():
            time.sleep(0.005)
        return "stopped"

    first = line.submit(in_hand)
    assert begun.wait(300)
    second = line.submit(lambda cancelled: "begun")
    line.close()
    assert first.result.result(timeout=300) == "stopped"
    assert second.result.cancelled()
    assert line.join(300)


# -- settings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.org"])
def test_others_are_let_in_with_a_key_only(host):
    """A host beyond this machine is refused without a key, and taken with one."""
    with pytest.raises(InputError, match="--api-key-env"):
        Settings(host=host)
    assert Settings(host=host, api_key=KEY).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_this_machine_needs_no_key(host):
    """Loopback, by any of its names."""
    assert Settings(host=host).is_local


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"port": 70_000}, "--port"),
        ({"max_queue": 0}, "--max-queue"),
        ({"engine": "bob"}, "no engine 'bob'"),
        ({"api_key": "short"}, "16 or more"),
        ({"machine": {"seed": 1}}, "-p seed"),
        ({"machine": {"device": "toaster"}}, "toaster"),
    ],
)
def test_settings_that_do_not_hold_say_so(values, told):
    """Before anything is loaded, with the option's name."""
    with pytest.raises(InputError, match=told):
        Settings(**values)


def test_a_key_is_not_shown():
    """Neither in a log nor in an error."""
    assert KEY not in repr(Settings(api_key=KEY))


# -- bodies


@pytest.mark.parametrize("kind", [SpeakParams, ConvertParams])
def test_every_parameter_is_open_or_withheld(kind):
    """The schema of a body holds every open one, and refuses all others."""
    schema = json_schema(kind)
    assert set(schema["properties"]) == set(open_names(kind))
    withheld = WITHHELD | ({"cast"} if kind is ConvertParams else set())
    assert set(kind.model_fields) <= set(open_names(kind)) | withheld
    assert not withheld & set(open_names(kind))
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("name", sorted(WITHHELD))
def test_what_is_the_servers_own_is_refused_by_name(name, client):
    """Places, devices and regular expressions: a 422 that names the field."""
    answer = client.post("/api/v1/tts", json={"text": "Hello.", name: "x"})
    assert answer.status_code == 422
    assert name in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b'{"a": NaN}', 400),
        (b'{"a": 1, "a": 2}', 400),
        (b"[" * 100_000, 400),
        (b'{"a": ' + b"9" * 10_000 + b"}", 400),
        (b"[]", 422),
        (b"null", 422),
    ],
)
def test_bodies_that_are_no_json_object_are_refused(body, status):
    """Strictly: whatever another reader might take in another way is an error."""
    with pytest.raises(Problem) as problem:
        parse_json(body)
    assert problem.value.status == status


def test_a_fault_is_told_with_name_and_value(client):
    """As everywhere else: several at once, each with its cure."""
    answer = client.post("/api/v1/tts", json={"text": "Hello.", "sped": 1, "seed": "x"}).json()
    assert "did you mean 'speed'" in answer["detail"]
    assert "seed" in answer["detail"]
    assert answer["success"] is False
    assert answer["error_code"] == "VALIDATION_ERROR"
    assert set(answer) == {"success", "error", "detail", "error_code", "timestamp"}


@pytest.mark.parametrize("route", ["tts", "jobs"])
def test_a_misspelt_text_is_named_and_not_missed(route, client):
    answer = client.post(f"/api/v1/{route}", json={"txt": "Hello."})
    assert answer.status_code == 422
    assert answer.json()["detail"] == "unknown parameter 'txt': did you mean 'text'?"


def test_what_a_request_may_say_is_listed_and_nothing_else(client):
    """Where no name is near, all that are open; what stands in the address is told so."""
    told = client.post("/api/v1/tts", json={"text": "x", "qqq": 1}).json()["detail"]
    assert told.startswith("unknown parameter 'qqq': known: text, ")
    assert not {"device", "outputs_dir", "run_name"} & set(re.findall(r"\w+", told))
    told = client.post("/api/v1/tts", json={"text": "x", "stream": True}).json()["detail"]
    assert "?stream=true" in told


def test_letters_of_all_kinds_are_readable_in_an_error(client):
    """In the bytes too, as curl shows them; half a letter, which UTF-8 has not, stays escaped."""
    answer = client.post("/api/v1/tts", json={"text": "Привет."})
    assert "П" in answer.content.decode()
    kind = {"Content-Type": "application/json"}
    half = client.post("/api/v1/tts", content=rb'{"text": "x", "voice": "\ud800"}', headers=kind)
    assert half.status_code in (404, 422)
    assert half.json()["success"] is False


@pytest.mark.parametrize(
    ("text", "normalize", "told"),
    [
        (f"It is {'9' * 40}.", "off", "engine 'hibari' cannot read 9999"),
        ("The word /ˈwɔːtə/ is one.", "auto", "would leave out ˈwɔːtə"),
        ('Hello <break time="500ms"/> world.', "auto", "[pause 500ms]"),
        (f"Hello [pause {'9' * 400}s].", "auto", "at most 600 s at one place"),
    ],
)
def test_a_text_that_cannot_be_spoken_is_a_422_with_the_cure(client, text, normalize, told):
    """What a planned run refuses, in the same words."""
    answer = client.post("/api/v1/tts", json={"text": text, "normalize": normalize})
    assert answer.status_code == 422
    assert told in answer.json()["detail"]


def test_a_client_may_go_on_without_letters(client):
    answer = client.post("/api/v1/tts", json={"text": "Hello 你 there.", "unspeakable": "note"})
    assert answer.status_code == 200


def test_a_method_that_a_route_does_not_have_comes_with_those_it_has(client):
    answer = client.get("/api/v1/tts")
    assert answer.status_code == 405
    assert answer.json()["detail"] == "/api/v1/tts does not take GET: use POST"


# -- speech


def test_the_answer_is_the_file_of_a_run(client, tmp_path, settings):
    """The bytes that `generate_tts` writes of the same parameters."""
    answer = client.post("/api/v1/tts", json={"text": "The tide is coming in.", "seed": 3})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/wav"
    own = {"text": "The tide is coming in.", "seed": 3, "engine": "hibari", "run_name": "own"}
    speech = generate_tts(SpeakParams.create(own | {"outputs_dir": str(tmp_path)}))
    assert answer.content == speech.files[0].read_bytes()
    assert float(answer.headers["x-audio-seconds"]) == pytest.approx(speech.audio_s, abs=1e-3)


def test_json_tells_all_of_a_run_and_where_its_files_are(client, tmp_path):
    """Several formats, each fetched by its address; nothing of the server's places."""
    body = {"text": "Two files of it.", "formats": ["wav", "mp3"]}
    answer = client.post("/api/v1/tts", json=body, headers={"Accept": "application/json"})
    told = answer.json()
    assert [one["name"] for one in told["files"]] == ["speech.wav", "speech.mp3"]
    assert str(tmp_path) not in answer.text
    for file in told["files"]:
        assert len(client.get(file["url"]).content) == file["bytes"]


def test_several_formats_are_no_one_file(client):
    """Refused before the work, with the way to have them."""
    answer = client.post("/api/v1/tts", json={"text": "Hm.", "formats": ["wav", "mp3"]})
    assert answer.status_code == 422
    assert "Accept" in answer.json()["detail"]


def test_a_form_may_hold_values_as_text(client):
    """Coerced by the field's type, as `-p` is."""
    answer = client.post(
        "/api/v1/tts", data={"text": "A form.", "seed": "5", "formats": "flac"}, files={}
    )
    assert answer.status_code == 415  # no file, so httpx sends another kind of form
    files = {"text": (None, "A form."), "seed": (None, "5"), "formats": (None, "flac")}
    answer = client.post("/api/v1/tts", files=files)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-seed"] == "5"
    assert soundfile.info(io.BytesIO(answer.content)).format == "FLAC"


def test_a_voice_that_is_not_there_is_a_404_that_lists_the_known(client):
    """Not a file of this machine either, though its name would lead to one."""
    for voice in ("bob", "Makefile", "../x", str(READING)):
        answer = client.post("/api/v1/tts", json={"text": "Hello.", "voice": voice})
        assert answer.status_code == 404, answer.text
        assert "heart" in answer.json()["detail"]


def test_a_recording_cannot_be_cloned_by_the_embedded_voice(client):
    """Told without the place where it was kept."""
    files = {"text": (None, "Hello."), "voice": ("me.flac", READING.read_bytes())}
    answer = client.post("/api/v1/tts", files=files)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert detail == "voice: engine 'hibari' clones no recording, and no engine here does"


def test_a_conversion_of_uploads_keeps_the_duration_and_leaves_no_upload(client, settings):
    """Source and target as recordings of a form, by the embedded converter."""
    target = READING.with_name("target.flac")
    files = {"source": ("a.flac", READING.read_bytes()), "target": ("b", target.read_bytes())}
    answer = client.post("/api/v1/vc", files=files)
    assert answer.status_code == 200, answer.text
    seconds = soundfile.info(io.BytesIO(answer.content)).duration
    assert seconds == pytest.approx(soundfile.info(READING).duration, abs=0.05)
    assert not list((settings().outputs / ".uploads").glob("*"))


def test_voices_are_added_listed_used_and_deleted(client):
    """By name, over HTTP; a name that is taken is a conflict."""
    form = {"data": {"name": "anna"}, "files": {"file": ("x.flac", READING.read_bytes())}}
    assert client.post("/api/v1/voices", **form).status_code == 201
    assert client.post("/api/v1/voices", **form).status_code == 409
    listed = client.get("/api/v1/voices").json()
    assert [one["name"] for one in listed["recordings"]] == ["anna"]
    converted = client.post("/api/v1/vc", json={"source": "anna", "target": "anna"})
    assert converted.status_code == 200, converted.text
    assert client.delete("/api/v1/voices/anna").json()["success"] is True
    assert client.delete("/api/v1/voices/anna").status_code == 404


def test_a_bad_recording_leaves_nothing_behind(tmp_path):
    """Random bytes, silence that is too long, and none at all."""
    long = io.BytesIO()
    soundfile.write(long, np.zeros(RATE * 3, np.float32), RATE, format="FLAC")
    long.seek(0)
    with pytest.raises(InputError, match="longer than 2 s"):
        keep_upload(long, tmp_path, part="voice", longest_s=2)
    noise = io.BytesIO(np.random.default_rng(0).bytes(10_000))
    with pytest.raises(InputError, match="no recording"):
        keep_upload(noise, tmp_path, part="voice", longest_s=2)
    assert list(tmp_path.iterdir()) == []


def test_an_upload_keeps_the_words_of_its_name_alone(tmp_path):
    """For its title on the page; no path, no dot, and nothing but letters and digits."""
    path = keep_upload(
        READING.open("rb"), tmp_path, part="voice", longest_s=60, name="../../My <voice>.1/é"
    )
    assert path.parent == tmp_path
    assert re.fullmatch(r"[0-9a-f]{16}-My-voice-1\.flac", path.name)


def test_a_long_recording_is_read_no_further_than_it_may_be(tmp_path):
    """`longest_s` ends the reading, and says so."""
    soundfile.write(tmp_path / "a.wav", np.full(RATE * 4, 0.1, np.float32), RATE)
    assert inspect_audio(tmp_path / "a.wav", longest_s=4).samples == RATE * 4
    with pytest.raises(InputError, match="longer than 3 s"):
        inspect_audio(tmp_path / "a.wav", longest_s=3)


# -- streams


@pytest.mark.parametrize("name", list(STREAMED))
def test_a_stream_decodes_to_the_whole_signal(name):
    """A tone of two seconds, written in pieces, comes back as long and as loud."""
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.float32)
    sent = bytearray()
    encoder = StreamEncoder(name, sent.extend, sample_rate=RATE)
    for start in range(0, len(tone), 7000):
        encoder.write(tone[start : start + 7000])
    assert sent
    encoder.close()
    samples = decoded(bytes(sent), name)
    assert len(samples) / RATE == pytest.approx(2.0, abs=0.08)  # lossy coders pad
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.08)


def decoded(data: bytes, name: str) -> np.ndarray:
    if name == "pcm":
        return np.frombuffer(data, "<i2").astype(np.float32) / 2**15
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    with av.open(io.BytesIO(data)) as container:
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def test_a_stream_has_the_samples_of_the_file(client, tmp_path):
    """Pcm, chunk by chunk without parts, is what the run's wav holds."""
    text = "The first sentence of it is here. " * 12
    asked = {"model": "tts-1", "input": text, "response_format": "pcm", "parts": False}
    with client.stream("POST", "/v1/audio/speech", json=asked) as answer:
        streamed = b"".join(answer.iter_bytes())
        run = answer.headers["x-run"]
    wav, _ = soundfile.read(
        io.BytesIO(client.get(f"/api/v1/runs/{run}/speech.wav").content), dtype="int16"
    )
    there = np.frombuffer(streamed, "<i2").astype(int)
    assert len(there) == len(wav)
    assert np.abs(there - wav).max() <= 1  # two roundings of the same float


def test_events_carry_the_audio_and_its_end(client):
    """`stream_format: sse`: deltas in base64, then done."""
    import base64

    body = {"model": "tts-1", "voice": "nova", "input": "Events of it.", "stream_format": "sse"}
    answer = client.post("/v1/audio/speech", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(one[6:]) for one in answer.text.split("\n\n") if one]
    assert [one["type"] for one in events][-1] == "speech.audio.done"
    audio = b"".join(base64.b64decode(one["audio"]) for one in events[:-1])
    assert len(decoded(audio, "mp3")) > RATE / 2


@pytest.mark.parametrize("name", ["aac", "mp3", "opus"])
def test_this_ffmpeg_has_the_encoders(name):
    """PyAV's wheels bring them; elsewhere the format is refused by name."""
    assert name in encodable()


def test_a_run_is_heard_as_it_is_written(speak, tmp_path):
    """`on_audio` gets the samples of the file, in more than one piece."""
    blocks = []
    params = SpeakParams.create(
        {
            "text": "One paragraph.\n\nAnd one more.",
            "engine": "hibari",
            "outputs_dir": str(tmp_path),
            "wav_bits": 32,
        }
    )
    speech = generate_tts(params, on_audio=blocks.append)
    assert len(blocks) > 2
    assert np.array_equal(np.concatenate(blocks), speech.read()[0])


# -- OpenAI's routes


def test_speed_is_honoured(client):
    """Half the speed takes about twice as long."""
    seconds = {}
    for speed in (0.5, 1.0):
        body = {"model": "hibari", "voice": "heart", "input": "A long river runs.", "speed": speed}
        answer = client.post("/v1/audio/speech", json=body | {"response_format": "pcm"})
        seconds[speed] = len(answer.content) / 2 / RATE
    assert seconds[0.5] / seconds[1.0] == pytest.approx(2, rel=0.3)


def test_models_are_the_engines_and_openais_names(client):
    """One of them by its name; another is a 404."""
    names = [one["id"] for one in client.get("/v1/models").json()["data"]]
    assert names == ["hibari", "tts-1", "tts-1-hd", "gpt-4o-mini-tts"]
    assert client.get("/v1/models/tts-1").json()["object"] == "model"
    assert client.get("/v1/models/bob").status_code == 404


# -- who may come in


def test_a_key_is_asked_for_everywhere_but_for_health(settings):
    """Three ways to give it; a wrong one is as good as none."""
    with client_of(settings(api_key=KEY)) as client:
        assert client.get("/api/v1/health").status_code == 200
        assert client.get("/api/v1/voices").status_code == 401
        for headers in ({"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}):
            assert client.get("/api/v1/voices", headers=headers).status_code == 200
        assert client.get("/api/v1/voices", auth=("anybody", KEY)).status_code == 200
        wrong = client.get("/api/v1/voices", headers={"X-API-Key": KEY[:-1]})
        assert wrong.json()["error_code"] == "UNAUTHORIZED"


def test_pages_elsewhere_may_not_send_requests(client):
    """A foreign origin, and a foreign name for our address, are refused."""
    evil = {"Origin": "https://evil.example"}
    assert client.post("/api/v1/tts", json={"text": "Hi."}, headers=evil).status_code == 403
    assert client.get("/api/v1/voices", headers={"Host": "evil.example"}).status_code == 403
    own = {"Origin": "http://localhost"}
    assert client.post("/api/v1/tts", json={"text": "Hi."}, headers=own).status_code == 200


def test_cors_is_off_unless_an_origin_is_named(settings, client):
    """No header by default; with the option, for that origin only."""
    asked = {"Origin": "https://page.example"}
    assert "access-control-allow-origin" not in client.get("/api/v1/health", headers=asked).headers
    with client_of(settings(cors_origins=("https://page.example",))) as open_client:
        told = open_client.get("/api/v1/health", headers=asked).headers
        assert told["access-control-allow-origin"] == "https://page.example"


# -- what the server tells of itself


def test_config_lists_what_a_request_may_say(client):
    """Engines with what each takes, and every open parameter with its range."""
    told = client.get("/api/v1/config").json()
    assert told["engines"]["served"] == {"hibari": {"takes": {"speed": 1.0}}}
    assert [one["name"] for one in told["parameters"]["tts"]] == open_names(SpeakParams)
    assert "world" in told["converters"]["served"]


def test_metrics_count_requests_stages_and_loads(client):
    """In Prometheus' format, a route a label and not a path."""
    client.post("/api/v1/tts", json={"text": "Counted."})
    client.get("/api/v1/jobs/no-such-job")
    text = client.get("/api/v1/metrics").text
    assert 'chatter_requests_total{method="POST",route="/api/v1/tts",status="200"} 1.0' in text
    assert 'route="/api/v1/jobs/{job}",status="404"' in text
    assert 'chatter_model_loads_total{model="hibari"} 1.0' in text
    assert 'chatter_stage_seconds_total{engine="hibari",kind="speak",stage="synthesis"}' in text
    assert "no-such-job" not in text


def test_an_engine_that_does_not_load_is_a_503_and_the_server_lives(settings, tmp_path):
    """A checkpoint without its files; another engine goes on."""
    pytest.importorskip("chatterbox", reason="needs chatterbox-tts")
    (tmp_path / "empty").mkdir()
    own = {"engine": "auto", "machine": {"checkpoint": str(tmp_path / "empty"), "device": "cpu"}}
    with client_of(settings(**own)) as client:
        answer = client.post("/api/v1/tts", json={"text": "Hi.", "engine": "chatterbox"})
        assert answer.status_code == 503
        assert answer.json()["error_code"] == "MODEL_LOAD_ERROR"
        assert client.get("/api/v1/health").status_code == 200


def test_a_chunk_that_fails_is_a_500_with_its_sentence(settings):
    """The engine's own words; no traceback."""
    with speaking_with(ToneEngine(fail_at=0)), client_of(settings()) as client:
        answer = client.post("/api/v1/tts", json={"text": "Hello."})
    assert answer.status_code == 500
    assert answer.json()["error_code"] == "GENERATION_ERROR"
    assert "told to fail" in answer.json()["detail"]


def test_every_registered_engine_has_a_worker(settings):
    """Chatterbox' speech and conversion share modules, and one thread."""
    service = Service(settings(engine="auto"))
    for engine in (*entries("speak").values(), *entries("convert").values()):
        assert service.worker(engine)
    speaks, converts = entry("chatterbox"), entry("chatterbox", "convert")
    assert service.worker(speaks) is service.worker(converts)
    service.close()


# -- jobs


def ended(jobs: Jobs, name: str) -> str:
    for _ in range(400):
        status = jobs.find(name).status
        if status not in ("queued", "running"):
            return status
        time.sleep(0.025)
    raise AssertionError(f"job {name} is still {status}")


def test_a_job_is_made_and_its_audio_fetched(client):
    """Accepted at once, done later, deleted with its files."""
    job = client.post("/api/v1/jobs", json={"text": "A job. " * 40, "formats": ["mp3"]})
    assert job.status_code == 202
    at = job.json()["url"]
    for _ in range(200):
        told = client.get(at).json()
        if told["status"] == "done":
            break
        time.sleep(0.05)
    assert told["done"] == told["total"] > 0
    audio = client.get(f"{at}/audio", params={"format": "mp3"})
    assert audio.headers["content-type"] == "audio/mpeg"
    assert client.get(f"{at}/audio", params={"format": "wav"}).status_code == 404
    assert client.delete(at).status_code == 200
    assert client.get(at).status_code == 404


def test_a_job_in_another_language_is_told_when_it_is_taken(client):
    """Before the work, with the cure; once it is done, among the notes of its run."""
    text = "Der Wind und die Sonne stritten sich, wer von ihnen nicht der Schwache ist. " * 40
    job = client.post("/api/v1/jobs", json={"text": text}).json()
    (note,) = job["notes"]
    assert note.startswith("the text seems to be in 'de', and")
    assert "set language: de" in note
    assert note in client.get(job["url"]).json()["notes"]
    client.delete(job["url"])
    assert client.post("/api/v1/jobs", json={"text": "It rained. " * 40}).json()["notes"] == []


def test_a_job_goes_on_with_the_next_server(settings, tmp_path):
    """Closed after its first chunks; what is kept is not made again, and the bytes are the same."""
    values = {"text": "\n\n".join(f"This is paragraph {n}." for n in range(12)), "seed": 4}
    with speaking_with(ToneEngine()) as engine:
        service = Service(settings())
        jobs = Jobs(service)
        stop_at(service, engine, chunks=3)
        name = jobs.add(values).id
        while not service.closing:
            time.sleep(0.01)
        assert service.join()
        assert jobs.find(name).status == "queued"
    made_first = len(engine.spoken)
    assert 0 < made_first < 12
    with speaking_with(ToneEngine()) as engine:
        second = Service(settings())
        jobs = Jobs(second)
        assert jobs.resume() == 1
        assert ended(jobs, name) == "done"
        assert len(engine.spoken) == 12 - made_first
        resumed = RunFolder(second.settings.outputs / name).record()
        own = {**values, "engine": "hibari", "outputs_dir": str(tmp_path / "own")}
        whole = generate_tts(SpeakParams.create(own)).record
        assert resumed.files[0].sha256 == whole.files[0].sha256
        second.close()


def stop_at(service: Service, engine: ToneEngine, *, chunks: int) -> None:
    """Close the service when the engine has made so many chunks."""
    plain = engine.synthesize

    def counted(requests):
        for made in plain(requests):
            yield made
            if len(engine.spoken) == chunks:
                service.close()

    engine.synthesize = counted


def test_a_cancelled_job_stays_cancelled(settings):
    """It is not taken up again by the next server."""
    with speaking_with(ToneEngine()) as engine:
        service = Service(settings())
        jobs = Jobs(service)
        plain, held = engine.synthesize, threading.Event()
        engine.synthesize = lambda requests: (held.wait(600) and one for one in plain(requests))
        name = jobs.add({"text": "First.\n\nSecond.\n\nThird."}).id
        assert jobs.cancel(name).status == "cancelled"
        held.set()
        service.close()
        assert service.join()
        assert jobs.find(name).status == "cancelled"
        assert Jobs(Service(settings())).resume() == 0


def test_a_cancelled_job_says_how_far_it_came(settings):
    """When it was cancelled, and ever after."""
    with speaking_with(ToneEngine()) as engine:
        service = Service(settings())
        jobs = Jobs(service)
        plain, held = engine.synthesize, threading.Event()

        def slow(requests):
            for number, one in enumerate(plain(requests)):
                assert number < 2 or held.wait(600)
                yield one

        engine.synthesize = slow
        name = jobs.add({"text": "First.\n\nSecond.\n\nThird.\n\nFourth."}).id
        until(lambda: jobs.find(name).done == 2)
        cancelled = jobs.cancel(name)
        held.set()
        until(lambda: not jobs.active(name))
        later = jobs.find(name)
        assert (later.done, later.total) == (cancelled.done, cancelled.total) == (2, 4)
        assert later.audio_s == cancelled.audio_s > 0
        service.close()


def test_a_job_for_a_model_that_is_not_here_is_refused(settings, monkeypatch):
    """At once, and not left in line for ever."""
    pytest.importorskip("chatterbox", reason="needs chatterbox-tts")
    monkeypatch.setattr("chatter_nb.serve.offers.cached", lambda model: None)
    jobs = Jobs(Service(settings(engine="chatterbox")))
    with pytest.raises(Problem, match="chatter-nb fetch chatterbox") as told:
        jobs.add({"text": "Hello."})
    assert told.value.status == 503
    assert jobs.all() == []


def test_a_job_that_fails_says_why_and_is_not_tried_for_ever(settings):
    """Failed is an end: the next server leaves it alone."""
    with speaking_with(ToneEngine(fail_at=0)):
        service = Service(settings())
        jobs = Jobs(service)
        name = jobs.add({"text": "It fails."}).id
        assert ended(jobs, name) == "failed"
        assert "told to fail" in jobs.find(name).error
        assert Jobs(Service(settings())).resume() == 0


def test_a_job_with_parameters_that_do_not_hold_is_not_taken(settings):
    """Nothing of it stays on disk."""
    jobs = Jobs(Service(settings()))
    with pytest.raises(ParamError):
        jobs.add({"text": "Hello.", "seed": "x"})
    assert jobs.all() == []


def test_old_runs_expire_and_jobs_in_hand_do_not(settings):
    """What is older goes, with its lock and its chunks; what is younger stays."""
    service = Service(settings())
    params = service.catalog.speech({"text": "Old."}, "tts-20260101-000000-0123456789abcdef")
    service.submit(params).result.result(timeout=300)
    assert expire(service.settings, 3600, lambda name: False) == 0
    assert expire(service.settings, -1, lambda name: True) == 0
    assert expire(service.settings, -1, lambda name: False) == 1
    assert not (service.settings.outputs / params.run_name).exists()
    assert not list((service.settings.outputs / ".locks").iterdir())
    service.close()


# -- the page that tells of it


def curl_lines() -> list[str]:
    page = (ROOT / "chatter_nb" / "serve" / "README.md").read_text()
    block = re.search(r"^```bash\n(.*?)^```", page, re.S | re.M)
    return block[1].splitlines()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_examples_of_the_readme_run(settings, tmp_path):
    """Every curl line, in its order, against a real server: files are sound, answers JSON."""
    with running(settings(port=0)) as url:
        for line in curl_lines():
            command = line.replace("localhost:7860", url).replace("params/", f"{ROOT}/params/")
            options = {"shell": True, "cwd": tmp_path, "capture_output": True, "text": True}
            done = subprocess.run(command.replace("curl ", "curl --fail ", 1), **options)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            if " -o " in line:
                assert soundfile.info(tmp_path / line.split()[-1]).duration > 0.5
            else:
                json.loads(done.stdout)
    assert len(curl_lines()) >= 7


def test_a_stream_of_events_that_breaks_off_says_why(settings):
    """After the audio that was made an error, and no `done`."""
    text = "The first paragraph.\n\nThe second one."
    body = {"model": "hibari", "voice": "default", "input": text, "stream_format": "sse"}
    with speaking_with(ToneEngine(fail_at=1)), client_of(settings()) as client:
        answer = client.post("/v1/audio/speech", json=body | {"response_format": "pcm"})
    events = [json.loads(one[6:]) for one in answer.text.split("\n\n") if one]
    kinds = [one["type"] for one in events]
    assert kinds[0] == "speech.audio.delta"
    assert kinds[-1] == "error"
    assert "told to fail" in events[-1]["message"]


@pytest.mark.slow
def test_a_server_that_cannot_begin_says_why(cli, tmp_path):
    """A model that does not load, a port that is taken, a folder that is none: a sentence each."""
    pytest.importorskip("chatterbox", reason="needs chatterbox-tts")
    place = ["--port", "0", "--outputs", tmp_path / "out"]
    model = ["--engine", "chatterbox", "-p", f"checkpoint={tmp_path}", "-p", "device=cpu"]
    told = cli("serve", "--preload", *place, *model, check=1).stderr
    assert "error: engine 'chatterbox' cannot be used" in told
    assert "Traceback" not in told
    (tmp_path / "file").touch()
    told = cli("serve", "--port", "0", "--outputs", tmp_path / "file" / "x", check=2).stderr
    assert "cannot write to" in told
    told = cli("serve", "--host", "0.0.0.0", check=2).stderr
    assert "--api-key-env" in told
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        told = cli("serve", "--port", port, "--outputs", tmp_path / "out", check=2).stderr
    assert f"cannot listen on 127.0.0.1 at port {port}: Address already in use; choose" in told


def test_two_servers_do_not_share_a_folder(settings, monkeypatch):
    """They would do each other's jobs; one after the other they may."""
    monkeypatch.setattr("chatter_nb.serve.server._WAIT_S", 0.1)
    with (
        running(settings(port=0)),
        pytest.raises(OutputError, match=r"another server works in .*--outputs"),
        running(settings(port=0)),
    ):
        pass
    with running(settings(port=0)) as url:
        assert httpx.get(f"{url}/api/v1/health").status_code == 200


def test_a_mark_fetches_no_voice(client):
    """A text comes from anybody: a voice that is a download is refused, also in a mark."""
    for path in ("/api/v1/tts", "/api/v1/jobs"):
        answer = client.post(path, json={"text": "[voice: kore] Hello there."})
        assert answer.status_code == 404
        assert "[voice: kore]: voice 'kore' is not on this machine yet" in answer.json()["detail"]
        answer = client.post(path, json={"text": "Fox: Hi.", "cast": {"Fox": "nobody"}})
        assert answer.json()["detail"].startswith("cast: Fox: engine 'hibari' has no voice")
    speech = {"model": "tts-1", "input": "[voice: kore] Hello there.", "voice": "alloy"}
    assert client.post("/v1/audio/speech", json=speech).status_code in (400, 404)
