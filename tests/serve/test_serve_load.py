"""The service under many clients, and when it is ended: everybody gets their own, nothing is lost.

Real servers in processes of their own, on the embedded voice unless a test says otherwise.
"""

import base64
import hashlib
import io
import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest
import soundfile
from conftest import ROOT

pytest.importorskip("fastapi", reason="needs the extra [serve]")
pytest.importorskip("fastapi", reason="needs the extra [serve]")

import httpx
import psutil
from serving import Server, serving, until
from test_serve import RATE, decoded

from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.speak import generate_tts
from chatter_nb.serve.encoding import STREAMED, is_streamable

openai = pytest.importorskip("openai", reason="needs OpenAI's client")

CLIENTS = 50
KEY = "a-key-of-enough-characters"
SOON_S = 60.0  # a chunk in hand and a short text, on a busy machine; `ENDLESS` takes longer
FIRST, MANY = 100, 500  # requests
CHUNKS = 100
SPEECH = "/v1/audio/speech"


def long_text(sentences: int) -> str:
    """Each sentence a chunk, of some 25 ms."""
    return "\n\n".join(f"This is sentence number {n} of a long text." for n in range(sentences))


ENDLESS = long_text(1000)  # for as long as any test here takes


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """One that wants a key, as its clients from elsewhere would find it."""
    options = ("--engine", "hibari", "--max-queue", "64", "--api-key-env", "SPEECH_KEY")
    with serving(tmp_path_factory.mktemp("serve"), *options, env={"SPEECH_KEY": KEY}) as server:
        yield server


@pytest.fixture
def client(server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=600, headers={"X-API-Key": KEY}) as client:
        yield client


@pytest.fixture
def direct(tmp_path):
    """The wav that `generate_tts` writes of the same parameters."""

    def made(**values) -> bytes:
        own = {"engine": "hibari", "outputs_dir": str(tmp_path / "direct"), "run_name": "run"}
        return generate_tts(SpeakParams.create(own | values)).files[0].read_bytes()

    return made


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# -- many at once


@pytest.mark.parametrize("count", [CLIENTS, pytest.param(MANY, marks=pytest.mark.slow)])
def test_fifty_clients_at_once_each_get_their_own(count, server, client, direct):
    """Of distinct texts and seeds, the bytes of a direct call; none lost, and memory flat."""
    values = [{"text": f"This is request {n} of {count}.", "seed": n} for n in range(count)]
    process, made = psutil.Process(server.process.pid), list[str]()

    def ask(one: dict) -> str:
        answer = client.post("/api/v1/tts", json=one)
        assert answer.status_code == 200, answer.text
        return sha256(answer.content)

    with ThreadPoolExecutor(CLIENTS) as pool:
        made += pool.map(ask, values[:FIRST])
        first_bytes = process.memory_info().rss
        made += pool.map(ask, values[FIRST:])
    last_bytes = process.memory_info().rss
    print(f"RSS {first_bytes / 1e6:.1f} MB, then {last_bytes / 1e6:.1f} MB")
    assert made == [sha256(direct(**one)) for one in values]
    assert len(set(made)) == count
    assert last_bytes <= 1.05 * first_bytes


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("chatterbox"), reason="needs chatterbox-tts")
def test_voices_do_not_mix(tiny, second_voice, tmp_path, direct):
    """Two cloned voices asked for in turn and at once: each answer is in the voice of its own."""
    voices = {"first": ROOT / "params" / "recordings" / "target.flac", "second": second_voice}
    own = {"checkpoint": str(tiny()), "device": "cpu"}
    options = [f for name, value in own.items() for f in ("-p", f"{name}={value}")]
    # Sums in another order are other samples; Whisper, in an earlier test, sets the threads of all.
    pytest.importorskip("torch").set_num_threads(1)
    one_thread = {"OMP_NUM_THREADS": "1"}
    with (
        serving(tmp_path / "serve", "--engine", "chatterbox", *options, env=one_thread) as server,
        httpx.Client(base_url=server.url, timeout=600) as client,
    ):
        for name, path in voices.items():
            form = {"data": {"name": name}, "files": {"file": path.read_bytes()}}
            assert client.post("/api/v1/voices", **form).status_code == 201
        values = [
            {"text": f"Number {n}.", "seed": n, "voice": list(voices)[n % 2]} for n in range(12)
        ]
        with ThreadPoolExecutor(len(values)) as pool:
            answers = list(pool.map(lambda one: client.post("/api/v1/tts", json=one), values))
        assert [answer.status_code for answer in answers] == [200] * len(values)
        own |= {"engine": "chatterbox", "voices_dir": str(server.folder / "voices")}
        for one, answer in zip(values, answers, strict=True):
            assert sha256(answer.content) == sha256(direct(**own, **one)), one
        other = values[0] | {"voice": "second"}
        assert sha256(direct(**own, **other)) != sha256(answers[0].content)


# -- places in the line


def waiting(client: httpx.Client) -> int:
    return client.get("/api/v1/health").json()["waiting"]["hibari"]


def hang_up_after(client: httpx.Client, text: str, seconds: float) -> None:
    with pytest.raises(httpx.ReadTimeout):
        client.post("/api/v1/tts", json={"text": text}, timeout=seconds)


def test_a_full_line_is_a_429_and_who_goes_away_frees_a_place(tmp_path):
    """One is made and one waits: a third is told when to come back; later both have gone."""
    with (
        serving(tmp_path, "--engine", "hibari", "--max-queue", "1", "--preload") as server,
        httpx.Client(base_url=server.url, timeout=600) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        in_hand = pool.submit(hang_up_after, client, ENDLESS, 2.0)
        until(lambda: list((server.folder / "out").glob("tts-*")))
        in_line = pool.submit(hang_up_after, client, ENDLESS, 1.0)
        until(lambda: waiting(client) == 1)
        refused = client.post("/api/v1/tts", json={"text": "One too many."})
        assert refused.status_code == 429
        assert refused.json()["error_code"] == "QUEUE_FULL"
        assert int(refused.headers["retry-after"]) >= 1
        in_hand.result()
        in_line.result()
        start_s = time.monotonic()
        assert client.post("/api/v1/tts", json={"text": "There is room."}).status_code == 200
        assert time.monotonic() - start_s < SOON_S


def test_a_job_lets_requests_pass_between_its_chunks(client):
    """A short text is answered while a job of many chunks is still at it."""
    at = client.post("/api/v1/jobs", json={"text": ENDLESS}).json()["url"]
    until(lambda: client.get(at).json()["done"])
    answer = client.post("/api/v1/tts", json={"text": "Let me through, please."})
    assert answer.status_code == 200
    assert client.get(at).json()["status"] == "running"
    assert client.delete(at).json()["status"] == "cancelled"


# -- the end


def job_done(client: httpx.Client, at: str) -> int:
    return client.get(at).json()["done"]


@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGTERM, marks=pytest.mark.slow), signal.SIGKILL]
)
def test_a_job_outlives_its_server(how, tmp_path, direct):
    """Asked to end, the server finishes the chunk in hand; killed, it does not. The next one makes
    what is missing, and the bytes of a run that nothing disturbed.
    """
    values = {"text": long_text(CHUNKS), "seed": 8}
    with (
        serving(tmp_path / "serve", "--engine", "hibari") as server,
        httpx.Client(base_url=server.url) as client,
    ):
        at = client.post("/api/v1/jobs", json=values).json()["url"]
        until(lambda: job_done(client, at) >= 2)
        server.process.send_signal(how)
        server.process.wait(600)
    (run,) = (server.folder / "out").glob("job-*")
    kept = len(list((server.folder / "out").glob(".chunks/*/*.npy")))
    assert 2 <= kept < CHUNKS
    if how == signal.SIGTERM:
        left = RunFolder(run).record()
        assert left.status == "cancelled"
        assert f"stopped after {kept} of {CHUNKS} chunks" in left.error
    with (
        serving(tmp_path / "serve", "--engine", "hibari") as server,
        httpx.Client(base_url=server.url) as client,
    ):
        until(lambda: client.get(at).json()["status"] == "done")
        audio = client.get(f"{at}/audio").content
    assert sum(chunk.cached for chunk in RunFolder(run).record().chunks) == kept
    assert sha256(audio) == sha256(direct(**values))


# -- streams


def speech_body(text: str, **more) -> dict:
    return {"model": "tts-1", "voice": "alloy", "input": text} | more


@pytest.mark.parametrize("name", [name for name in STREAMED if is_streamable(name, pieces=2)])
def test_pieces_of_a_stream_are_the_whole(name, client):
    """Audio comes in many pieces that together last as long as the run's own file."""
    body = speech_body(long_text(8), response_format=name)
    with client.stream("POST", SPEECH, json=body) as answer:
        assert answer.headers["content-type"] == STREAMED[name].media_type
        assert "content-length" not in answer.headers
        pieces = list(answer.iter_raw())
    assert len(pieces) > 1
    run = answer.headers["x-run"]
    wav = client.get(f"/api/v1/runs/{run}/speech.wav").content
    whole_s = soundfile.info(io.BytesIO(wav)).duration
    assert len(decoded(b"".join(pieces), name)) / RATE == pytest.approx(whole_s, abs=0.1)


def test_a_null_is_a_field_left_out(client):
    """Some clients send every field that they know."""
    nulls = dict.fromkeys(("instructions", "response_format", "speed", "stream_format"))
    answer = client.post(SPEECH, json=speech_body("Nothing said.") | nulls)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/mpeg")
    assert client.post(SPEECH, json=speech_body("x", voice=None)).status_code == 200


def test_a_server_without_the_page_has_nothing_in_its_place(client):
    """`--no-page`, as `serving` starts servers."""
    assert client.get("/ui").status_code == client.get("/").status_code == 404


def test_head_is_get_without_a_body(client):
    """As monitors and download managers ask: of health, and of a file and a part of it."""
    assert client.head("/api/v1/health").status_code == 200
    run = client.post("/api/v1/tts", json={"text": "A head."}).headers["x-run"]
    whole = client.get(f"/api/v1/runs/{run}/speech.wav")
    head = client.head(f"/api/v1/runs/{run}/speech.wav")
    assert (head.content, head.headers["content-length"]) == (b"", str(len(whole.content)))
    part = client.head(f"/api/v1/runs/{run}/speech.wav", headers={"Range": "bytes=0-9"})
    assert (part.status_code, part.headers["content-length"]) == (206, "10")
    assert client.head("/api/v1/tts").status_code == 405


@pytest.mark.parametrize(
    ("asked", "status", "told"),
    [
        ("bytes=9-3", 400, "bytes=FIRST-LAST"),
        ("apples=1-2", 400, "bytes=FIRST-LAST"),
        ("bytes={}-", 416, "the file has {} bytes"),
    ],
)
def test_a_range_that_a_file_does_not_have_is_told_in_the_envelope(asked, status, told, client):
    run = client.post("/api/v1/tts", json={"text": "A range."}).headers["x-run"]
    at = f"/api/v1/runs/{run}/speech.wav"
    size = client.head(at).headers["content-length"]
    answer = client.get(at, headers={"Range": asked.format(size)})
    assert answer.status_code == status
    assert told.format(size) in answer.json()["detail"]
    assert answer.headers.get("content-range") == (f"bytes */{size}" if status == 416 else None)


def test_a_stream_that_breaks_off_is_seen_to_be_unfinished(tmp_path):
    """The server ends: its client has what was made, and an error instead of an end."""
    with (
        serving(tmp_path, "--engine", "hibari") as server,
        httpx.stream(
            "POST", f"{server.url}{SPEECH}", json=speech_body(ENDLESS), timeout=600
        ) as answer,
    ):
        pieces = answer.iter_raw()
        assert next(pieces)
        server.process.terminate()
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)
        server.process.wait(300)


@pytest.mark.slow
def test_events_that_break_off_end_in_one_that_says_so(tmp_path):
    """The server ends: the last event is an error with its code, and no `done` comes."""
    body = speech_body(ENDLESS, stream_format="sse")
    with (
        serving(tmp_path, "--engine", "hibari") as server,
        httpx.stream("POST", f"{server.url}{SPEECH}", json=body, timeout=600) as answer,
    ):
        lines = (line for line in answer.iter_lines() if line)
        assert "speech.audio.delta" in next(lines)
        server.process.terminate()
        *_, last = lines
        server.process.wait(300)
    told = json.loads(last.removeprefix("data: "))
    assert (told["type"], told["code"]) == ("error", "shutting_down")


def test_a_disk_that_fills_in_mid_stream_is_told(small_disk, tmp_path):
    """Events end in one that says so; the server lives, and with room the text goes on."""
    body = speech_body(long_text(40), stream_format="sse", response_format="pcm")
    outputs = small_disk.folder / "out"
    small_disk.resize("2m")  # some of its 40 chunks
    options = ("--engine", "hibari", "--outputs", str(outputs))
    with serving(tmp_path, *options) as server, httpx.Client(base_url=server.url) as client:

        def events() -> list[dict]:
            answer = client.post(SPEECH, json=body, timeout=600)
            assert answer.status_code == 200
            return [json.loads(one[6:]) for one in answer.text.split("\n\n") if one]

        *sound, last = events()
        assert {one["type"] for one in sound} == {"speech.audio.delta"}
        assert (last["type"], last["code"]) == ("error", "disk_full")
        assert str(outputs) not in last["message"]
        assert not list(outputs.rglob("speech.wav"))
        small_disk.resize("50m")
        *sound, last = events()
        assert last["type"] == "speech.audio.done"
        audio = b"".join(base64.b64decode(one["audio"]) for one in sound)
        (whole,) = outputs.rglob("speech.wav")
        assert len(audio) == 2 * soundfile.info(whole).frames


# -- OpenAI's own client


@pytest.fixture
def ours(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def test_openais_client_makes_speech(ours):
    """Plain: the audio of the format it asks for unasked, mp3."""
    answer = ours.audio.speech.create(model="tts-1", voice="alloy", input="Hello from afar.")
    assert answer.response.headers["content-type"] == "audio/mpeg"
    assert len(decoded(answer.content, "mp3")) > RATE / 2


def test_openais_client_streams_speech(ours, tmp_path):
    """Piece by piece into a file."""
    ways = ours.audio.speech.with_streaming_response
    body = speech_body(long_text(6), response_format="wav")
    with ways.create(**body) as answer:
        answer.stream_to_file(tmp_path / "streamed.wav")
    data = (tmp_path / "streamed.wav").read_bytes()
    assert len(decoded(data, "wav")) > 6 * RATE


def test_openais_client_may_ask_for_what_nobody_follows(ours):
    """It is spoken as ever, and the answer names what was passed over."""
    body = speech_body("Told what is left out.", speed=4.0, instructions="Sing it.")
    answer = ours.audio.speech.create(**body)
    assert answer.response.headers["x-ignored"] == "instructions, speed=4 (it is 2)"
    assert len(decoded(answer.content, "mp3")) > RATE / 3


def test_openais_client_reads_events(ours):
    """`stream_format="sse"`: audio in base64, then that it is done."""
    ways = ours.audio.speech.with_streaming_response
    with ways.create(**speech_body("Events of it.", stream_format="sse")) as answer:
        lines = [line for line in answer.iter_lines() if line]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert [one["type"] for one in events][-1] == "speech.audio.done"
    audio = b"".join(base64.b64decode(one["audio"]) for one in events[:-1])
    assert len(decoded(audio, "mp3")) > RATE / 2


def test_openais_client_lists_models(ours):
    """The engine by its name, and OpenAI's names for it."""
    names = [model.id for model in ours.models.list()]
    assert names[:2] == ["hibari", "tts-1"]
    assert ours.models.retrieve("tts-1").id == "tts-1"


def test_openais_client_raises_its_own_errors(ours):
    """A voice or a model that is not there, a wrong key."""
    create = ours.audio.speech.create
    with pytest.raises(openai.BadRequestError, match="alloy") as refused:
        create(model="tts-1", voice="bob", input="Hello.")
    assert refused.value.param == "voice"
    with pytest.raises(openai.BadRequestError, match="tts-1"):
        create(model="bob", voice="alloy", input="Hello.")
    with pytest.raises(openai.NotFoundError, match="tts-1"):
        ours.models.retrieve("bob")
    wrong = ours.with_options(api_key="not-the-key-at-all")
    with pytest.raises(openai.AuthenticationError, match="API key"):
        wrong.models.list()
