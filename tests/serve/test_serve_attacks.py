"""Attacks on a real server, and that it still answers after each."""

import errno
import io
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import soundfile
import uvicorn
from conftest import ROOT
from serving import serving

pytest.importorskip("fastapi", reason="needs the extra [serve]")
pytest.importorskip("fastapi", reason="needs the extra [serve]")

from chatter_nb.serve import uploads
from chatter_nb.serve.bodies import WITHHELD
from chatter_nb.serve.connection import Connection
from chatter_nb.serve.server import running
from chatter_nb.serve.settings import Limits, Settings

KEY = "a-key-of-enough-characters"
RATE = 24_000
READING = ROOT / "params" / "recordings" / "reading.flac"
TTS, VC, VOICES, JOBS = "/api/v1/tts", "/api/v1/vc", "/api/v1/voices", "/api/v1/jobs"
JSON = {"Content-Type": "application/json"}
LEAKS = ("Traceback", 'File "', "site-packages", str(ROOT), str(Path.home()) + "/")
SECRET = "what nobody may read"
TRAVERSALS = (
    *("../secret", "../../secret.txt", "..\\secret", "/etc/passwd", "C:\\secret", "secret\0.wav"),
    *("%2e%2e%2fsecret", "..%252fsecret", "....//secret", "~/secret", "voices/../../secret", ".."),
    *("．．/secret", "secret\r\nX-Evil: 1", "a" * 5000),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One for all attacks: what it has survived is part of the next."""
    folder = tmp_path_factory.mktemp("attacked")
    soundfile.write(folder / "secret.wav", np.full(RATE * 8, 0.1), RATE)
    (folder / "secret.txt").write_text(SECRET)
    with serving(folder, "--engine", "hibari", page=True) as one:
        yield one


@pytest.fixture
def client(server):
    """After the attack the server answers, with no traceback anywhere but in its log."""
    with httpx.Client(base_url=server.url, timeout=600) as one:
        yield one
        assert one.get("/api/v1/health").json()["status"] == "ok"
    assert server.process.poll() is None


def refused(answer, *statuses: int, folder: Path | None = None) -> str:
    """The detail of an error in the one envelope, which tells nothing of the server's own."""
    assert answer.status_code in statuses, f"{answer.status_code}: {answer.text[:500]}"
    told = answer.json()
    assert set(told) == {"success", "error", "detail", "error_code", "timestamp"}
    for leak in (*LEAKS, *([str(folder)] if folder else [])):
        assert leak not in answer.text
    return told["detail"]


def raw(server, data: bytes, *, first: bool = False) -> bytes:
    """What comes back for bytes sent as they are: the `first` of it, or all until the end."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=300) as line:
        try:
            line.sendall(data)
            if first:
                return line.recv(65_536)
            return b"".join(iter(lambda: line.recv(65_536), b""))
        except (ConnectionResetError, BrokenPipeError):
            return b""


def wav(seconds: float = 8.0, rate: int = RATE, channels: int = 1, format: str = "WAV") -> bytes:
    data = io.BytesIO()
    noise = np.random.default_rng(1).normal(0, 0.1, (round(seconds * rate), channels))
    soundfile.write(data, noise, rate, format=format)
    return data.getvalue()


# -- names


@pytest.mark.parametrize("name", TRAVERSALS)
def test_no_name_leads_out_of_its_folder(name, client, server):
    """As voice, source, target, engine, format, a new voice's name, and everything in a path."""
    folder = server.folder
    refused(client.post(TTS, json={"text": "Hi.", "voice": name}), 404, 422, folder=folder)
    for speakers in (
        {"cast": {"Fox": name}},
        {"cast": {"Fox": {"voice": name}}},
        {"narrator": name},
    ):
        refused(client.post(TTS, json={"text": "Hi.", **speakers}), 404, 422, folder=folder)
        refused(client.post(JOBS, json={"text": "Hi.", **speakers}), 404, 422, folder=folder)
    refused(client.post(VC, json={"source": name, "target": "x"}), 404, 422, folder=folder)
    refused(client.post(TTS, json={"text": "Hi.", "engine": name}), 422, folder=folder)
    refused(client.post(TTS, json={"text": "Hi.", "formats": [name]}), 422, folder=folder)
    form = {"data": {"name": name}, "files": {"file": ("a.wav", b"x")}}
    refused(client.post(VOICES, **form), 400, 422, folder=folder)
    speech = {"model": "tts-1", "input": "Hi.", "voice": name}
    assert client.post("/v1/audio/speech", json=speech).status_code == 400
    quoted = "".join(f"%{byte:02x}" for byte in name.encode())
    run = "tts-20260101-000000-0123456789abcdef"
    for path in (f"{JOBS}/{quoted}", f"{JOBS}/{quoted}/audio"):
        refused(client.get(path), 404, 400, folder=folder)
    for path in (f"/api/v1/runs/{quoted}/speech.wav", f"/api/v1/runs/{run}/{quoted}"):
        refused(client.get(path), 404, 400, folder=folder)
    refused(client.delete(f"{VOICES}/{quoted}"), 404, 405, folder=folder)
    refused(client.delete(f"{JOBS}/{quoted}"), 404, 405, folder=folder)
    assert (folder / "secret.wav").exists()
    assert (folder / "secret.txt").read_text() == SECRET


def test_a_finished_run_gives_its_audio_and_no_other_file(client, server):
    """Not its run.json, which has the server's places in it, nor a file outside it."""
    answer = client.post(TTS, json={"text": "A run."}, headers={"Accept": "application/json"})
    run = answer.json()["run"]["run_name"]
    assert client.get(f"/api/v1/runs/{run}/speech.wav").status_code == 200
    for file in ("run.json", "..%2frun.json", "%2e%2e%2f%2e%2e%2fsecret.txt", ".", "speech.wav%00"):
        refused(client.get(f"/api/v1/runs/{run}/{file}"), 404, folder=server.folder)


def test_plain_dots_in_a_request_line_lead_nowhere(server, client):
    """Sent as they are, since clients resolve them before they send."""
    for path in ("/../../etc/passwd", "/api/v1/runs/../../secret.txt", "//etc/passwd", "/ui/../x"):
        line = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = raw(server, line.encode())
        assert b"root:" not in answer
        assert SECRET.encode() not in answer
        assert b" 500 " not in answer.split(b"\r\n")[0]


def test_a_file_name_puts_nothing_into_headers_or_folders(server, client):
    """CR, LF, quotes and slashes in a part's file name: the name is not used at all."""
    evil = b'../../evil"\r\nX-Evil: 1\r\n\r\n.wav'
    body = b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\nsound\r\n'
    body += b'--b\r\nContent-Disposition: form-data; name="file"; filename="' + evil + b'"\r\n\r\n'
    body += wav() + b"\r\n--b--\r\n"
    sent = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = client.post(VOICES, content=body, headers=sent)
    assert answer.status_code in (201, 400, 422)
    assert "x-evil" not in answer.headers
    files = {"file": ('../../e"vil\r\nX-Evil: 1.wav', wav())}
    answer = client.post(VOICES, data={"name": "plain"}, files=files)
    assert answer.status_code == 201, answer.text
    assert "x-evil" not in answer.headers
    assert (server.folder / "voices" / "plain.wav").exists()
    assert not list(server.folder.rglob("*vil*"))


def test_a_run_or_voice_cannot_be_named_into_a_header(client):
    """CR and LF in what an answer's headers echo: refused, and no header of it."""
    for body in ({"run_name": "a\r\nX-Evil: 1"}, {"voice": "a\r\nX-Evil: 1"}):
        answer = client.post(TTS, json={"text": "Hi."} | body)
        assert answer.status_code in (404, 422)
        assert "x-evil" not in answer.headers


def test_no_url_is_ever_fetched(client):
    """A listener on this machine hears of none, wherever it is named."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.5)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/x.wav"
        refused(client.post(TTS, json={"text": "Hi.", "voice": url}), 404)
        refused(client.post(VC, json={"source": url, "target": url}), 404)
        files = {"source": (None, url), "target": (None, url)}
        refused(client.post(VC, files=files), 404)
        refused(client.post(TTS, json={"text": "Hi.", "text_file": url}), 422)
        with pytest.raises(TimeoutError):
            listener.accept()


# -- recordings


@pytest.mark.parametrize("kind", ["FLAC", pytest.param("OGG", marks=pytest.mark.slow)])
def test_a_recording_that_unfolds_to_hours_is_refused_in_flat_memory(kind, client, server):
    """Kilobytes of silence for each hour: read no further than a voice may be long."""
    data, second = io.BytesIO(), np.zeros(8_000, np.float32)
    with soundfile.SoundFile(data, "w", 8_000, 1, format=kind) as file:
        for _ in range(3 * 3600):
            file.write(second)
    process, most = psutil.Process(server.process.pid), [0]
    before = process.memory_info().rss
    done = threading.Event()

    def watch():
        while not done.wait(0.01):
            most[0] = max(most[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        files = {"source": (None, "plain"), "target": ("t", data.getvalue())}
        assert "longer than" in refused(client.post(VC, files=files), 422)
    finally:
        done.set()
        watcher.join()
    assert most[0] - before < 150_000_000
    assert len(data.getvalue()) < 1_000_000


def test_random_bytes_are_no_recording(client, server):
    """10,000 of them, by every way in; none stays on the disk."""
    noise = np.random.default_rng(0).bytes(10_000)
    assert "no recording" in refused(client.post(VC, files={"source": ("a.wav", noise)}), 422)
    form = {"data": {"name": "noise"}, "files": {"file": ("a.wav", noise)}}
    assert "no recording" in refused(client.post(VOICES, **form), 422)
    files = {"text": (None, "Hi."), "voice": ("a.wav", noise)}
    assert "no recording" in refused(client.post(TTS, files=files), 422)
    for folder in ("out/.uploads", "voices/.incoming"):
        assert not list((server.folder / folder).glob("*"))


@pytest.mark.parametrize(
    ("recording", "told"),
    [
        ({"channels": 200}, "200 channels"),
        ({"rate": 1}, "1 Hz"),
        ({"rate": 2_000_000, "seconds": 0.01}, "2000000 Hz"),
        ({"seconds": 0}, "file"),
    ],
)
def test_recordings_of_absurd_shape_are_refused(recording, told, client, server):
    """Too many channels, rates that are none, and no sample at all."""
    data = wav(**({"seconds": 1} | recording))
    form = {"data": {"name": "odd"}, "files": {"file": ("a.wav", data)}}
    assert told in refused(client.post(VOICES, **form), 422, folder=server.folder)


def test_headers_of_a_recording_may_lie(client, server):
    """An mp3 that promises 2³² frames is what it holds; cut flac and a picture are refused."""
    lying = bytearray(wav(4, format="MP3"))
    at = max(lying.find(b"Xing"), lying.find(b"Info")) + 8
    lying[at : at + 4] = b"\xff" * 4
    for data, status in (
        (bytes(lying), 201),
        (READING.read_bytes()[:3000], 422),
        (b"\x89PNG" * 500, 422),
    ):
        form = {"data": {"name": "lie"}, "files": {"file": ("a.wav", data)}}
        assert client.post(VOICES, **form).status_code == status
        client.delete(f"{VOICES}/lie")


# -- JSON


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 100_000, 400),
        (b'{"text":' * 50_000, 400),
        (b"[" * 100_000 + b"]" * 100_000, 400),
        (b'{"text": "a", "seed": NaN}', 400),
        (b'{"text": "a", "speed": Infinity}', 400),
        (b'{"text": "a", "speed": 1e999}', 422),
        (b'{"text": "a", "text": "b"}', 400),
        (b'{"text": "a", "seed": ' + b"9" * 10_000 + b"}", 400),
        (b'{"text": "a", "seed": ' + b"9" * 4_000 + b"}", 422),
        (b'{"text": "\\ud800"}', 422),
        (b'{"text": "a", "\\ud800": 1}', 422),
        (b'{"text": "a", "voice": "\\udfff"}', 422),
        (b'{"text": "\\u0000"}', 422),
        (b"\xff\xfe\x00", 400),
        (b"", 400),
        (b"null", 422),
        (b'{"text": "a", "replacements": {"\\udc00": "x"}}', 422),
        (b'{"text": "a", "replacements": {"a": "\\udc00"}}', 422),
    ],
    ids=lambda value: str(value)[:24] if value else "empty",
)
def test_json_that_is_odd_is_refused(body, status, client):
    """Depth, constants, doubles, digits and lone surrogates, for speech and for jobs."""
    refused(client.post(TTS, content=body, headers=JSON), status)
    refused(client.post(JOBS, content=body, headers=JSON), status)
    answer = client.post("/v1/audio/speech", content=body, headers=JSON)
    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize("name", sorted(WITHHELD))
def test_what_is_the_servers_own_is_refused_by_name(name, client):
    """By JSON, by form, and in a job."""
    value = {"(a+)+$": "x"} if name == "regex_replacements" else "x"
    body = {"text": "Hello.", name: value}
    assert name in refused(client.post(TTS, json=body), 422)
    assert name in refused(client.post(JOBS, json=body), 422)
    files = {"text": (None, "Hello."), name: (None, json.dumps(value))}
    assert name in refused(client.post(TTS, files=files), 422)


# -- sizes and speeds


def test_bodies_that_are_too_large_are_not_read(server, client):
    """By what Content-Length says, and by what comes in pieces without one."""
    head = f"POST {TTS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    sent = f"{head}Content-Length: 99999999999\r\n\r\n".encode() + b"{" * 1000
    assert raw(server, sent, first=True).startswith(b"HTTP/1.1 413 ")
    pieces = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    sent = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + pieces * 20
    assert raw(server, sent, first=True).startswith(b"HTTP/1.1 413 ")
    refused(client.post(TTS, content=b" " * 1_000_001, headers=JSON), 413)


def dribble(line: socket.socket) -> None:
    """Five seconds of it."""
    for _ in range(50):
        line.sendall(b"{")
        time.sleep(0.1)


def test_a_body_that_goes_on_after_its_answer_is_cut_off(impatient):
    """Refused by its length, and sent nevertheless, byte by byte."""
    port = int(impatient.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=300) as line:
        head = f"POST {TTS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n"
        line.sendall(head.encode())
        assert line.recv(65_536).startswith(b"HTTP/1.1 413 ")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            dribble(line)


def test_a_length_that_is_none_is_refused(server, client):
    """Negative, text, and two lengths at once: an answer below 500, or a closed connection."""
    for lengths in (
        "Content-Length: -1",
        "Content-Length: x",
        "Content-Length: 1\r\nContent-Length: 2",
    ):
        head = (
            f"POST {TTS} HTTP/1.1\r\nHost: localhost\r\n{lengths}\r\nConnection: close\r\n\r\n{{}}"
        )
        answer = raw(server, head.encode())
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")


def test_headers_that_are_too_large_are_refused(server, client):
    """One of 100 kB, and ten thousand small ones."""
    for headers in ("X-A: " + "a" * 100_000, "\r\n".join(f"X-{n}: a" for n in range(10_000))):
        answer = raw(
            server, f"GET / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n".encode(), first=True
        )
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")


def test_more_parts_than_there_are_fields_are_refused(client):
    """A form of ten thousand, and one with more recordings than may come."""
    many = {f"f{n}": (None, "x") for n in range(10_000)}
    refused(client.post(TTS, files=many), 400, 422)
    refused(client.post(VC, files={f"f{n}": ("a", b"x") for n in range(10)}), 400, 422)


@pytest.fixture
def impatient(tmp_path):
    """A server in this process that waits for nobody longer than half a second."""
    limits = Limits(upload_timeout_s=0.5, header_timeout_s=0.5)
    with running(own_settings(tmp_path, limits=limits)) as url:
        yield url
        assert httpx.get(f"{url}/api/v1/health").status_code == 200


def own_settings(folder: Path, **values) -> Settings:
    places = {"outputs_dir": str(folder / "out"), "voices_dir": str(folder / "voices")}
    return Settings(**{"engine": "hibari", "web_page": False, "port": 0} | places | values)


@pytest.mark.parametrize(
    ("kind", "begun"),
    [
        ("application/json", b""),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n',
        ),
    ],
)
def test_a_body_that_dribbles_is_given_up(kind, begun, impatient):
    """A byte every tenth of a second: 408, and the connection is closed."""
    port = int(impatient.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=300) as line:
        head = f"POST {TTS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        line.sendall(f"{head}Content-Length: 1000\r\n\r\n".encode() + begun)
        line.settimeout(0.1)
        answer = b""
        for _ in range(900):  # of the 1,000 bytes that the server was told of
            try:
                line.sendall(b"-")
                answer = line.recv(65_536)
                break
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: local", b"G"])
def test_a_connection_that_does_not_say_what_it_wants_is_closed(sent, impatient):
    """Silent from the first byte, or in the middle of its headers."""
    port = int(impatient.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=300) as line:
        line.sendall(sent)
        assert line.recv(1000) == b""


def test_headers_of_a_second_request_may_not_take_for_ever_either(impatient):
    """A connection that asked once, and then sends half a request."""
    port = int(impatient.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=300) as line:
        line.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert line.recv(65_536).startswith(b"HTTP/1.1 200")
        time.sleep(0.1)
        line.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: lo")
        rest = b"".join(iter(lambda: line.recv(65_536), b""))
        assert b"HTTP/1.1 200" not in rest


@contextmanager
def handing_out(size_bytes: int, **limits) -> Iterator[tuple[int, threading.Event]]:
    """A server whose every answer is so large; its port, and what is set when one has ended."""
    ended = threading.Event()

    async def app(scope, receive, send):
        length = (b"content-length", b"%d" % size_bytes)
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        for _ in range(size_bytes // 1_000_000):
            await send({"type": "http.response.body", "body": bytes(1_000_000), "more_body": True})
        await send({"type": "http.response.body"})
        ended.set()

    protocol = type("Impatient", (Connection,), {"limits": Limits(**limits)})
    config = uvicorn.Config(app, port=0, http=protocol, lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield server.servers[0].sockets[0].getsockname()[1], ended
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def asking(port: int) -> Iterator[socket.socket]:
    """A client that has asked, and whose own buffer holds little of the answer."""
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        line.settimeout(300)
        line.connect(("127.0.0.1", port))
        line.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        yield line


def test_a_client_that_takes_nothing_is_cut_off():
    """Its answer ends, and its connection: it would hold both for as long as it likes."""
    with handing_out(20_000_000, send_timeout_s=0.3) as (port, ended), asking(port) as line:
        assert ended.wait(300)
        taken, cut = 0, False
        try:
            while data := line.recv(1_000_000):
                taken += len(data)
        except ConnectionResetError:
            cut = True
        assert cut or taken < 20_000_000


def test_a_client_that_takes_little_at_a_time_gets_all():
    """In far longer than the time in which it must take something."""
    size_bytes, taken = 12_000_000, b""
    with handing_out(size_bytes, send_timeout_s=1.5) as (port, _), asking(port) as line:
        for _ in range(20):
            time.sleep(0.2)
            taken += line.recv(65_536)
        while data := line.recv(1_000_000):
            taken += data
    assert len(taken.partition(b"\r\n\r\n")[2]) == size_bytes


# -- who may come in


def test_a_foreign_name_for_our_address_is_refused(client):
    """A page elsewhere whose name leads here reads nothing."""
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "", "[::"):
        refused(client.get("/api/v1/config", headers={"Host": host}), 403)


def test_a_page_elsewhere_sends_nothing(client, server):
    """A foreign Origin, `null` among them, on whatever changes something."""
    for origin in ("https://evil.example", "null", f"http://localhost:{server.port}.evil.example"):
        evil = {"Origin": origin}
        refused(client.post(TTS, json={"text": "Hi."}, headers=evil), 403)
        refused(client.delete(f"{VOICES}/plain", headers=evil), 403)


def test_there_is_no_websocket(server, client):
    """An upgrade is not followed."""
    head = "GET /ui HTTP/1.1\r\nHost: localhost\r\n"
    head += "Connection: Upgrade, close\r\nUpgrade: websocket\r\n"
    head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    assert b" 101 " not in raw(server, head.encode()).split(b"\r\n")[0]


def test_a_key_opens_and_a_wrong_one_does_not(tmp_path):
    """By Bearer, X-API-Key and Basic; odd ones are as wrong as none, and none is echoed."""
    with running(own_settings(tmp_path, api_key=KEY)) as url, httpx.Client(base_url=url) as client:
        for headers in ({"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}):
            assert client.get(VOICES, headers=headers).status_code == 200
        assert client.get(VOICES, auth=("anybody", KEY)).status_code == 200
        odd = (KEY[:-1], KEY + "a", "é" * 20, "a" * 10_000)
        for given in (value.encode("latin-1") for value in odd):
            for headers in ({b"X-API-Key": given}, {b"Authorization": b"Bearer " + given}):
                assert KEY not in client.get(VOICES, headers=headers).text
                refused(client.get(VOICES, headers=headers), 401)
        for basic in ("Basic", "Basic !!!", "Basic /////w==", "Digest x"):
            refused(client.get("/api/v1/metrics", headers={"Authorization": basic}), 401)
        refused(client.get("/openapi.json"), 401)
        assert client.get("/api/v1/health").status_code == 200


def test_a_public_bind_without_a_key_does_not_begin():
    """Exit code 2, with the way to go on."""
    command = [sys.executable, "-m", "chatter_nb.cli", "serve", "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 2
    assert "--api-key-env" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


# -- what breaks inside


@pytest.mark.parametrize("files", [{}, {"ve.pt": b"rubbish", "t3_cfg.safetensors": b"rubbish"}])
def test_a_model_that_does_not_load_is_a_503_and_the_process_lives(files, tmp_path):
    """A checkpoint without files, or with rubbish in them; asked for twice."""
    pytest.importorskip("chatterbox", reason="needs chatterbox-tts")
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    for name, data in files.items():
        (checkpoint / name).write_bytes(data)
    machine = {"checkpoint": str(checkpoint), "device": "cpu"}
    settings = own_settings(tmp_path, engine="auto", machine=machine)
    with running(settings) as url, httpx.Client(base_url=url, timeout=600) as client:
        for _ in range(2):
            answer = client.post(TTS, json={"text": "Hi.", "engine": "chatterbox"})
            refused(answer, 503, folder=tmp_path)
            assert answer.json()["error_code"] == "MODEL_LOAD_ERROR"
            assert answer.headers["retry-after"]
        assert client.get("/api/v1/health").json()["status"] == "ok"
        assert client.post(TTS, json={"text": "Hi.", "engine": "hibari"}).is_success


def test_a_full_disk_is_a_507_and_the_server_lives(tmp_path, monkeypatch):
    """No space for a run, a job and an upload, told without a place; then there is space again."""
    with running(own_settings(tmp_path)) as url, httpx.Client(base_url=url, timeout=600) as client:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def no_space(*args, **kwargs):
            raise full

        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", no_space)
            patched.setattr(uploads.shutil, "copyfileobj", no_space)
            asked = {
                "a run": client.post(TTS, json={"text": "No space."}),
                "a job": client.post(JOBS, json={"text": "No space."}),
                "an upload": client.post(VC, files={"source": ("a.wav", wav())}),
                "a voice": client.post(
                    VOICES, data={"name": "full"}, files={"file": ("a.wav", wav())}
                ),
            }
        for what, answer in asked.items():
            assert answer.status_code == 507, f"{what}: {answer.status_code} {answer.text}"
            refused(answer, 507, folder=tmp_path)
        assert client.get("/api/v1/health").status_code == 200
        assert client.post(TTS, json={"text": "Space again."}).status_code == 200


def test_no_error_tells_of_the_server(client, server):
    """One of every kind: no traceback, no folder."""
    answers = [
        client.get("/nothing"),
        client.put(TTS),
        client.post(TTS, json={}),
        client.post(TTS, json={"text": "你好"}),
        client.post(TTS, content=b"x", headers={"Content-Type": "text/plain"}),
        client.post(VC, json={"source": "plain", "target": "no-such"}),
        client.post(VC, json={"source": "plain", "target": "plain", "engine": "chatterbox-vc"}),
        client.get(f"{JOBS}/no"),
        client.get(VOICES, params={"engine": "no"}),
    ]
    for answer in answers:
        refused(answer, *range(400, 512), folder=server.folder)
    assert not re.search(r"Traceback", server.log.read_text())


# -- headers that are none


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://["},
        {"Origin": "http://[::1"},
        {"Origin": "null"},
        {"Authorization": "Basic é"},
        {"Authorization": "Basic =="},
        {"Authorization": "Basic " + "A" * 5},
        {"Authorization": "Bearer é"},
        {"X-API-Key": "é"},
        {"Host": "["},
        {"Host": "localhost:notaport"},
        {"Content-Type": "multipart/form-data"},
        {"Content-Type": "multipart/form-data; boundary="},
        {"Content-Type": "multipart/form-data; boundary=" + "b" * 3000},
        {"Content-Type": 'multipart/form-data; boundary="b'},
        {"Content-Type": "multipart/form-data; boundary*=x"},
        {"Content-Type": "multipart/form-data; boundary=b; charset=undefined"},
        {"Content-Type": "multipart/form-data; boundary=b; charset=punycode"},
        {"Content-Type": "multipart/form-data; boundary=b; charset=idna"},
        {"Content-Type": "multipart/mixed; boundary=b; charset=hex"},
        {"Content-Type": "application/json; charset=undefined"},
        {"Content-Type": "é"},
        {"Content-Type": ";;;=,"},
        {"Accept": "é;q=x"},
        {"Range": "bytes=9-1,,"},
        {"Cookie": "é=;;=\x7f"},
    ],
    ids=lambda headers: next(iter(headers.items()))[1][:60],
)
@pytest.mark.parametrize("key", ["", KEY])
def test_odd_headers_are_no_failure_of_the_server(headers, key, pages):
    """On own routes, OpenAI's and the page's; before the key is asked for, and after it."""
    raw_headers = [(name, value.encode()) for name, value in headers.items()]
    for path in (TTS, VC, VOICES, JOBS, "/v1/audio/speech", "/ui/gradio_api/upload"):
        body = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\nx\r\n--b--\r\n'
        given = [("X-API-Key", key.encode())] if key else []
        answer = httpx.post(pages + path, content=body, headers=given + raw_headers, timeout=600)
        assert 400 <= answer.status_code < 500, (path, answer.text)
        assert "Traceback" not in answer.text


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A server with a key and the web page, in this process."""
    pytest.importorskip("gradio", reason="needs the extra [serve]")
    settings = own_settings(tmp_path_factory.mktemp("pages"), web_page=True, api_key=KEY)
    with running(settings) as url:
        yield url


def test_every_answer_protects_its_reader(pages):
    """No answer may be framed or taken for another kind of file: audio, errors, the page, all."""
    origin = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    with httpx.Client(base_url=pages, headers={"X-API-Key": KEY}, timeout=600) as client:
        answers = [
            client.get("/api/v1/health"),
            client.get("/ui/"),
            client.get("/ui/theme.css"),
            client.get("/nothing"),
            client.get("/api/v1/voices", headers={"X-API-Key": "wrong"}),
            client.options(TTS, headers=origin),
            client.post(TTS, json={"text": "Hello."}),
        ]
    assert {answer.status_code for answer in answers} >= {200, 401, 404}
    for answer in answers:
        assert answer.headers["content-security-policy"] == "frame-ancestors 'none'"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-credentials" not in answer.headers


def test_silent_connections_make_room(tmp_path):
    """Three times as many as there may be: who asks is answered, and who is at work is not cut."""
    limits = Limits(connections=30)
    with running(own_settings(tmp_path, limits=limits)) as url, httpx.Client(base_url=url) as kept:
        kept.get("/api/v1/health")  # a client that stays, and is silent now
        place = ("127.0.0.1", int(url.rpartition(":")[2]))
        with ExitStack() as opened:
            busy = opened.enter_context(socket.create_connection(place, timeout=600))
            head = f"POST {TTS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            busy.sendall(f"{head}Content-Length: 18\r\n\r\n".encode() + b'{"text"')
            assert httpx.get(f"{url}/api/v1/health").status_code == 200  # busy's head is read
            for _ in range(90):
                opened.enter_context(socket.create_connection(place, timeout=600))
            for _ in range(3):
                assert httpx.get(f"{url}/api/v1/health").status_code == 200
            busy.sendall(b': "Hello."}')
            assert busy.recv(65_536).startswith(b"HTTP/1.1 200 ")
