"""What clients of OpenAI's API send, and what programs make of the answers.

`data/clients.json` holds requests out of the source of 23 clients, each with the answer that is
right here: its status, and the seconds of sound or the name of the field that is refused.
"""

import base64
import http.client
import io
import json
import re
import socket
import typing
import wave

import numpy as np
import pytest
import soundfile
import yaml
from conftest import ROOT

pytest.importorskip("fastapi", reason="needs the extra [serve]")
pytest.importorskip("fastapi", reason="needs the extra [serve]")

import httpx
from browser import browser_page
from serving import settings_in
from test_serve import KEY, RATE, client_of, decoded
from test_serve_load import long_text, speech_body

from chatter_nb.base.errors import InputError
from chatter_nb.serve import offers as catalogs
from chatter_nb.serve.encoding import STREAMED
from chatter_nb.serve.offers import Catalog
from chatter_nb.serve.openai_body import MODELS, VOICES, model_names, order_of
from chatter_nb.serve.routes.openai import SILENCE_S
from chatter_nb.serve.server import running
from chatter_nb.serve.settings import Settings

SPEECH = "/v1/audio/speech"
REQUESTS = json.loads((ROOT / "tests" / "data" / "clients.json").read_text())
EXTENSION = "chrome-extension://hdhinadidafjejdhmfkjgnolgimiaplp"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("clients")


@pytest.fixture(scope="module")
def server(folder) -> typing.Iterator[str]:
    """One for all, which lets in a container and a browser's extension. Its address."""
    lets_in = {"allow_hosts": ("host.docker.internal",), "cors_origins": (EXTENSION,)}
    with running(settings_in(folder, port=0, **lets_in)) as url:
        yield url


@pytest.fixture
def client(server) -> typing.Iterator[httpx.Client]:
    with httpx.Client(base_url=server, timeout=600) as client:
        yield client


# -- what clients send


@pytest.mark.parametrize(
    "asked", [pytest.param(one, id=f"{one['client']}: {one['case']}") for one in REQUESTS]
)
def test_a_client_gets_its_answer(asked, server):
    """The status; the seconds of sound that can be decoded, or what was wrong; what was ignored."""
    status, headers, data = sent(asked, server)
    assert status == asked["status"], data[:500]
    assert headers.get("x-ignored") == asked.get("ignored")
    if "param" in asked:
        assert json.loads(data)["error"]["param"] == asked["param"]
    if "seconds" in asked:
        own = asked.get("json", {})
        if own.get("stream_format") == "sse":
            data = audio_of(events_of(data.decode()))
        sound = decoded(data, own.get("response_format", "mp3").lower())
        assert len(sound) / RATE == pytest.approx(asked["seconds"], abs=0.1, rel=0.1)


def sent(asked: dict, server: str) -> tuple[int, dict[str, str], bytes]:
    """A request byte by byte: no library adds a header, or mends an address."""
    address = server.removeprefix("http://")
    if "raw" in asked:
        host, _, port = address.partition(":")
        with socket.create_connection((host, int(port)), timeout=600) as line:
            line.sendall(asked["raw"].encode())
            answer = http.client.HTTPResponse(line, method=asked["method"])
            answer.begin()
            data = answer.read()
    else:
        connection = http.client.HTTPConnection(address, timeout=600)
        body = json.dumps(asked["json"]) if "json" in asked else asked.get("body", "")
        headers, method = asked.get("headers", {}), asked.get("method", "POST")
        connection.request(method, asked["path"], body.encode(), headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, data


def events_of(text: str) -> list[dict]:
    return [json.loads(one.removeprefix("data: ")) for one in text.split("\n\n") if one]


def audio_of(events: list[dict]) -> bytes:
    return b"".join(base64.b64decode(one["audio"]) for one in events if "audio" in one)


# -- names


def names_in_sdk() -> tuple[list[str], list[str]]:
    """Every model and voice that OpenAI's package names."""
    params = pytest.importorskip("openai.types.audio.speech_create_params")
    model = pytest.importorskip("openai.types.audio.speech_model").SpeechModel
    voices = [typing.get_args(one) for one in typing.get_args(params.Voice)]
    return list(typing.get_args(model)), [name for group in voices for name in group]


def test_every_name_in_openais_package_is_spoken(tmp_path):
    """A new version of it that names more fails here."""
    models, voices = names_in_sdk()
    assert len(models) >= 4
    assert set(VOICES) <= set(voices)
    catalog = Catalog(settings_in(tmp_path))
    for model in models:
        for voice in voices:
            body = {"model": model, "voice": voice, "input": "Hi."}
            assert order_of(body, catalog).params.engine == "hibari"


@pytest.mark.parametrize(
    ("change", "voice"),
    [
        ({"model": "TTS-1"}, ""),
        ({"model": " gpt-4o-mini-tts-2025-03-20 "}, ""),
        ({"model": "tts-1-hd-1106"}, ""),
        ({"model": "custom/Hibari"}, ""),
        ({"model": None}, ""),
        ({"model": "Nova", "voice": None}, ""),
        ({"voice": "Shim mer.WAV"}, ""),
        ({"voice": {"id": "alloy"}}, ""),
        ({"voice": {"id": ""}}, ""),
        ({"voice": "HEART"}, "heart"),
        ({"voice": {"id": "Heart.wav", "name": "x"}}, "heart"),
        ({"model": "heart", "voice": ""}, "heart"),
        ({"response_format": ""}, ""),
        ({"response_format": " Opus", "stream_format": "SSE"}, ""),
        ({"speed": ""}, ""),
    ],
)
def test_names_are_taken_as_people_write_them(change, voice, tmp_path):
    """Any case, blanks, a recording's suffix, an object, nothing."""
    body = {"model": "tts-1", "voice": "alloy", "input": "Hi."} | change
    order = order_of(body, Catalog(settings_in(tmp_path)))
    assert (order.params.engine, order.params.voice) == ("hibari", voice)
    assert order.ignored == ()


def test_what_works_comes_first_in_the_list_of_models(tmp_path, monkeypatch):
    """Clients take the first: engines whose model is not here come after OpenAI's names."""
    monkeypatch.setattr(catalogs, "cached", lambda files: None)
    catalog = Catalog(settings_in(tmp_path, engine="auto"))
    monkeypatch.setattr(catalog, "_speaks", catalog.choice())
    names = model_names(catalog)
    assert names[:4] == [catalog.choice().name, *MODELS]
    assert sorted(names) == sorted([*catalog.engines(), *MODELS])


def test_models_and_voices_are_listed_as_open_webui_reads_them(client):
    """Objects with id and name, each of which can be asked for."""
    voices = client.get("/v1/audio/voices").json()["voices"]
    assert {"default", "heart", *VOICES} <= {one["id"] for one in voices}
    assert all(one["id"] == one["name"] for one in voices)
    models = client.get("/v1/audio/models").json()["models"]
    assert [one["id"] for one in models] == ["hibari", *MODELS]
    for name in ("tts-1", "TTS-1-1106", "openai/tts-1", "hibari"):
        assert client.get(f"/v1/models/{name}").json()["id"] == name
    refused = client.get("/v1/models/bob")
    assert (refused.status_code, refused.json()["error"]["param"]) == (404, "model")


# -- what is refused, and what is passed over


@pytest.mark.parametrize(
    ("change", "param", "told"),
    [
        ({"voice": "bob"}, "voice", "alloy"),
        ({"voice": {"id": 5}}, "voice", "string"),
        ({"model": "bob"}, "model", "tts-1"),
        ({"model": 5}, "model", "string"),
        ({"speed": "fast"}, "speed", "number"),
        ({"speed": "nan"}, "speed", "number"),
        ({"speed": True}, "speed", "number"),
        ({"response_format": "midi"}, "response_format", "mp3"),
        ({"stream_format": "chunks"}, "stream_format", "sse"),
        ({"exaggeration": 7}, "exaggeration", "2"),
        ({"seed": 1.5}, "seed", "integer"),
        ({"input": ""}, "input", "nothing to speak"),
        ({"input": " \n"}, "input", "nothing to speak"),
        ({"input": "x" * 50_001}, "input", "50,000"),
        ({"input": "Жук."}, "input", "hibari"),
        ({"input": "[pause 5]"}, "input", "pause"),
        ({"input": None}, "input", "string"),
    ],
)
def test_what_is_wrong_is_400_with_its_field(change, param, told, client):
    """OpenAI's clients find the sentence under `error.message`, the field under `error.param`."""
    answer = client.post(SPEECH, json=speech_body("Hello.", **change))
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param), error
    assert told in error["message"]


@pytest.mark.parametrize(
    "change", [{"text": "..."}, {"text": "👍"}, {"stream": True}, {"speed": 4}, {"exaggeration": 1}]
)
def test_our_own_routes_stay_strict(change, client):
    """What OpenAI's route passes over or takes is 422 under /api/v1."""
    assert client.post("/api/v1/tts", json={"text": "Hello."} | change).status_code == 422


@pytest.mark.parametrize(
    ("extra", "ignored"),
    [
        ({"instructions": "Sing.", "user": "jo"}, "instructions, user"),
        ({"instructions": None, "user": None}, None),
        ({"exaggeration": 0.7, "temperature": 0.5}, "exaggeration, temperature"),
        ({"lang_code": "a", "speed": 0.25}, "lang_code, speed=0.25 (it is 0.5)"),
        ({"speed": -3}, "speed=-3 (it is 0.5)"),
        ({"naïve\r\nX-Evil: 1": 1}, "na%C3%AFve%0D%0AX-Evil%3A%201"),
        ({"x" * 500: {"deep": [1]}}, "x" * 40),
    ],
)
def test_what_nobody_follows_is_passed_over_and_told(extra, ignored, client):
    answer = client.post(SPEECH, json=speech_body("Hello.", **extra))
    assert (answer.status_code, answer.headers.get("x-ignored")) == (200, ignored)
    assert "x-evil" not in answer.headers


def test_a_field_that_is_half_a_letter_is_told_too(client):
    body = rb'{"input": "Hello.", "\ud800": 1}'
    assert client.post(SPEECH, content=body).headers["x-ignored"] == "%3F"


def test_an_engines_own_knobs_are_taken(tmp_path, client):
    """A seed by the embedded voice; all of Chatterbox' by an engine that has them."""
    wav = client.post(SPEECH, json=speech_body("Hi.", seed=5, response_format="wav"))
    assert wav.headers["x-seed"] == "5"
    knobs = {"exaggeration": 0.7, "cfg_weight": 0.4, "temperature": 0.9}
    catalog = Catalog(settings_in(tmp_path, engine="chatterbox"))
    order = order_of(speech_body("Hi.", **knobs, speed=1.5), catalog)
    assert {name: getattr(order.params, name) for name in knobs} == knobs
    assert order.ignored == ("speed",)


# -- nothing to say


@pytest.mark.parametrize("name", list(STREAMED))
@pytest.mark.parametrize("text", ["👍🏽", "...", "— * —"])
def test_a_text_without_words_is_a_short_silence(text, name, client, folder):
    """It says how long it is; there is no run of it, and nothing is kept."""
    before = sorted(folder.rglob("*"))
    answer = client.post(SPEECH, json=speech_body(text, response_format=name, user="jo"))
    sound = decoded(answer.content, name)
    assert len(sound) / RATE == pytest.approx(SILENCE_S, abs=0.1)  # lossy coders pad
    assert np.abs(sound).max() < 1e-3
    told = (float(answer.headers["x-audio-seconds"]), answer.headers["x-ignored"])
    assert told == (SILENCE_S, "user")
    assert "x-run" not in answer.headers
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("text", ["🎉", "Eleven words and so on.", long_text(3)])
@pytest.mark.parametrize("name", ["mp3", "flac", "wav"])
def test_events_end_with_what_was_used(text, name, client):
    """Characters, and 25 tokens a second of audio; the pieces together are a file."""
    body = speech_body(text, response_format=name, stream_format="sse")
    *sound, done = events_of(client.post(SPEECH, json=body).text)
    audio_s = len(decoded(audio_of(sound), name)) / RATE
    assert done["type"] == "speech.audio.done"
    used = done["usage"]
    assert used["input_tokens"] == len(text)
    assert used["output_tokens"] == pytest.approx(25 * audio_s, abs=3)  # mp3 pads
    assert used["total_tokens"] == used["input_tokens"] + used["output_tokens"]


# -- files that programs open

ONE, MANY = "A single chunk of it.", long_text(4)
OPEN_LENGTH = b"\xff\xff\xff\xff"


@pytest.fixture(scope="module")
def files(server) -> dict[str, tuple[bytes, int]]:
    """Answers by what they are, each with the samples that its run counts."""
    asked = {"flac": (ONE, "flac"), "long flac": (MANY, "flac"), "wav": (ONE, "wav")}
    asked |= {
        "streamed wav": (MANY, "wav"),
        "silent flac": ("...", "flac"),
        "silent wav": ("…", "wav"),
    }
    made = {}
    with httpx.Client(base_url=server, timeout=600) as client:
        for kind, (text, name) in asked.items():
            answer = client.post(SPEECH, json=speech_body(text, response_format=name))
            pcm = client.post(SPEECH, json=speech_body(text, response_format="pcm"))
            made[kind] = answer.content, len(pcm.content) // 2
            is_open = kind == "streamed wav"
            assert ("content-length" in answer.headers) is not is_open
    return made


KINDS = ("flac", "long flac", "wav", "streamed wav", "silent flac", "silent wav")
WAVS = tuple(kind for kind in KINDS if "wav" in kind)


@pytest.mark.parametrize("kind", KINDS)
def test_libsndfile_reads_what_was_spoken(kind, files):
    data, samples = files[kind]
    assert soundfile.info(io.BytesIO(data)).frames == samples
    signal, rate = soundfile.read(io.BytesIO(data))
    assert (len(signal), rate) == (samples, RATE)


@pytest.mark.parametrize("kind", KINDS)
def test_ffmpeg_reads_what_was_spoken(kind, files):
    data, samples = files[kind]
    assert len(decoded(data, kind)) == samples


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "flac" in kind])
def test_a_flac_says_how_long_it_is(kind, files):
    """STREAMINFO: 36 bits of samples, 18 bytes into the file's first block."""
    data, samples = files[kind]
    assert data[:4] == b"fLaC"
    assert int.from_bytes(data[21:26], "big") & (2**36 - 1) == samples


@pytest.mark.parametrize("kind", WAVS)
def test_a_wav_says_how_long_it_is_or_leaves_it_open(kind, files):
    """44 bytes of header: the sizes are true, or 0xFFFFFFFF where it is sent while it is made."""
    data, samples = files[kind]
    sizes = data[4:8], data[40:44]
    whole = (len(data) - 8).to_bytes(4, "little"), (2 * samples).to_bytes(4, "little")
    assert (data[36:40], len(data)) == (b"data", 44 + 2 * samples)
    assert sizes == ((OPEN_LENGTH, OPEN_LENGTH) if kind == "streamed wav" else whole)


@pytest.mark.parametrize("kind", WAVS)
def test_the_wave_module_reads_what_was_spoken(kind, files):
    """Of an open one it says 2³¹ - 1 samples, and reads those that there are."""
    data, samples = files[kind]
    with wave.open(io.BytesIO(data)) as file:
        assert file.getnframes() == (2**31 - 1 if kind == "streamed wav" else samples)
        assert len(file.readframes(file.getnframes())) == 2 * samples


@pytest.mark.filterwarnings("ignore:Reached EOF prematurely")
@pytest.mark.parametrize("kind", WAVS)
def test_scipy_reads_what_was_spoken(kind, files):
    from scipy.io import wavfile

    data, samples = files[kind]
    rate, signal = wavfile.read(io.BytesIO(data))
    assert (rate, len(signal)) == (RATE, samples)


@pytest.mark.filterwarnings("ignore:Couldn't find ff")
@pytest.mark.parametrize("kind", WAVS)
def test_pydub_reads_what_was_spoken(kind, files):
    pydub = pytest.importorskip("pydub")
    data, samples = files[kind]
    assert pydub.AudioSegment.from_file(io.BytesIO(data), format="wav").frame_count() == samples


def test_a_browser_decodes_what_was_spoken(files):
    """`decodeAudioData`, at the rate of the file so that every sample counts."""
    script = """async data => {
      const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
      const context = new OfflineAudioContext(1, 1, 24000);
      return (await context.decodeAudioData(bytes.buffer)).length;
    }"""
    with browser_page() as page:
        for kind, (data, samples) in files.items():
            assert (kind, page.evaluate(script, base64.b64encode(data).decode())) == (kind, samples)


# -- who may come in


def test_doubled_slashes_and_a_last_one_are_none(server):
    """Base URLs are typed by hand, with a slash at the end or without /v1."""

    def answer(path: str, **asked) -> tuple[int, str]:
        status, _, data = sent({"path": path} | asked, server)
        return status, data.decode(errors="replace")

    for path in ("//v1//audio/speech", "/v1/audio/speech/", "/v1/audio//speech//"):
        assert answer(path, json=speech_body("Hi."))[0] == 200
    assert answer("/api//v1/health", method="GET")[0] == 200
    status, told = answer("//audio/speech", json={})
    assert (status, "/v1/audio/speech" in told) == (404, True)


def test_another_host_comes_in_by_name_alone(server):
    """A container's name for this machine, with any port; the refusal names the option."""
    with httpx.Client(base_url=server) as client:

        def status(path: str, host: str) -> int:
            return client.get(path, headers={"Host": host}).status_code

        assert status("/v1/models", "Host.Docker.Internal:7860") == 200
        assert status("/v1/models", "evil.example") == 403
        assert status("/v1/models", "evil.host.docker.internal") == 403
        for host in ("evil.example", "10.0.0.7:7860", ""):
            assert status("/api/v1/health", host) == 200
        refused = client.get("/v1/models", headers={"Host": "other"}).json()
        assert "--allow-host" in refused["detail"]


@pytest.mark.parametrize("host", ["host.docker.internal:7860", "*", "http://host", "Host", "a b"])
def test_an_allowed_host_is_a_plain_name(host, tmp_path):
    with pytest.raises(InputError, match="allow-host"):
        settings_in(tmp_path, allow_hosts=(host,))


ORIGINS = (
    EXTENSION,
    "moz-extension://6f1c-2a",
    "app://obsidian.md",
    "app://.",
    "tauri://localhost",
)


def test_extensions_and_applications_are_let_in_by_their_origin(tmp_path):
    """What they may read of an answer is exposed, and no browser's own passwords are asked for."""
    with client_of(settings_in(tmp_path, cors_origins=ORIGINS)) as client:
        for origin in ORIGINS:
            own = {"Origin": origin}
            answer = client.post(SPEECH, json=speech_body("...", user="jo"), headers=own)
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == origin
            assert "X-Ignored" in answer.headers["access-control-expose-headers"]
            asks = own | {"Access-Control-Request-Method": "POST"}
            assert client.options(SPEECH, headers=asks).status_code == 200
        evil = {"Origin": "chrome-extension://evil"}
        answer = client.post(SPEECH, json=speech_body("..."), headers=evil)
        assert answer.status_code == 403
        assert "--cors-origin" in answer.json()["error"]["message"]
        assert "access-control-allow-origin" not in answer.headers
        assert "access-control-allow-credentials" not in answer.headers


def test_a_program_with_the_key_is_let_in_from_any_page(tmp_path):
    """Not with the password that a browser sends by itself from every page, nor with another."""
    with client_of(settings_in(tmp_path, api_key=KEY)) as client:

        def status(**given) -> int:
            headers = {"Origin": "app://obsidian.md"} | given.pop("headers", {})
            return client.post(
                SPEECH, json=speech_body("..."), headers=headers, **given
            ).status_code

        assert status(headers={"Authorization": f"Bearer {KEY}"}) == 200
        assert status(headers={"X-API-Key": KEY}) == 200
        assert status(auth=("anybody", KEY)) == 403
        assert status(headers={"X-API-Key": KEY[:-1]}) == 403
        assert status() == 403


def test_no_key_is_no_way_in_where_there_is_none(client):
    """An empty key is not the right one."""
    for headers in ({"X-API-Key": ""}, {"Authorization": "Bearer"}):
        answer = client.post(SPEECH, json={}, headers=headers | {"Origin": "https://evil.example"})
        assert answer.status_code == 403


def test_the_compose_file_of_the_readme_is_one():
    """Open WebUI calls the other service by its name, with the port and the key that it has."""
    page = (ROOT / "chatter_nb" / "serve" / "README.md").read_text()
    blocks = re.findall(r"^```text\n(services:.*?)^```", page, re.S | re.M)
    (services,) = [yaml.safe_load(block)["services"] for block in blocks]
    (own,) = [
        name for name, one in services.items() if "chatter-nb serve" in one.get("command", "")
    ]
    asks = services["open-webui"]["environment"]
    assert asks["AUDIO_TTS_OPENAI_API_BASE_URL"] == f"http://{own}:{Settings().port}/v1"
    assert asks["AUDIO_TTS_MODEL"] in MODELS
    assert asks["AUDIO_TTS_VOICE"] in VOICES
    variable = services[own]["command"].rstrip('"').rpartition("--api-key-env ")[2]
    assert variable in services[own]["environment"]
