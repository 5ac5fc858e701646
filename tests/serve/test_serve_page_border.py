"""The border in front of Gradio: every route, function and input, with files and addresses.

Of Gradio's routes the page needs a few; the tables here name them all, so that a new version of
Gradio that brings another one fails a test before it serves anybody.
"""

import json
import socket
from pathlib import Path

import pytest
from conftest import ROOT

pytest.importorskip("gradio", reason="needs the extra [serve]")

import gradio as gr
import httpx
from starlette.routing import Mount

from chatter_nb.serve.application import make_app
from chatter_nb.serve.page_border import AT_ONCE, QUEUED, UPLOAD
from chatter_nb.serve.server import running
from chatter_nb.serve.service import Service
from chatter_nb.serve.settings import Settings

API = "/gradio_api"
READING = ROOT / "params" / "recordings" / "reading.flac"
PASSWORDS = Path("/etc/passwd")
SAMPLES = {
    "path:path": "..%2f..%2froutes.py",
    "path_or_url:path": str(PASSWORDS),
    "url_path:path": "http://127.0.0.1:9/",
    "api_name": "predict",
    "session_hash": "abc",
}

PASSING = {
    "GET /",
    "GET /theme.css",
    "GET /assets/{path:path}",
    "GET /static/{path:path}",
    f"GET {API}/heartbeat/{{session_hash}}",
    f"GET {API}/queue/data",
    f"GET {API}/upload_progress",
    f"GET {API}/file={{path_or_url:path}}",
    f"POST {API}/queue/join",
    f"POST {API}/run/{{api_name}}",
    f"POST {API}/upload",
}
REFUSED = {
    "HEAD /",  # as all HEADs it comes in as GET
    "GET /config",
    "GET /favicon.ico",
    "GET /logout",
    "GET /manifest.json",
    "GET /monitoring",
    "GET /monitoring/summary",
    "GET /monitoring/{key}",
    "GET /openapi.json",
    "HEAD /openapi.json",
    "GET /pwa_icon",
    "GET /pwa_icon/{size}",
    "GET /robots.txt",
    "GET /svelte/{path:path}",
    "POST /login",
    *(
        f"GET {API}/{name}"
        for name in (
            "app_id",
            "call/v2/{api_name}/{event_id}",
            "call/{api_name}/{event_id}",
            "custom_component/{id}/{environment}/{type}/{file_name}",
            "deep_link",
            "dev/reload",
            "file/{path:path}",
            "info",
            "login_check",
            "openapi.json",
            "proxy={url_path:path}",
            "queue/status",
            "runs",
            "startup-events",
            "stream/{session_hash}/{run}/{component_id}/playlist-file",
            "stream/{session_hash}/{run}/{component_id}/playlist.m3u8",
            "stream/{session_hash}/{run}/{component_id}/{segment_id}.{ext}",
            "theme.css",
            "token",
            "user",
            "vibe-code",
        )
    ),
    f"HEAD {API}/file={{path_or_url:path}}",
    f"HEAD {API}/proxy={{url_path:path}}",
    *(
        f"POST {API}/{name}"
        for name in (
            "api/{api_name}",
            "call/v2/{api_name}",
            "call/{api_name}",
            "cancel",
            "component_server",
            "process_recording",
            "reset",
            "stream/{event_id}",
            "stream/{event_id}/close",
            "undo-vibe-edit",
            "vibe-code",
            "vibe-edit",
            "vibe-starter-queries",
        )
    ),
}
CALLS = [
    f"{API}/{name}"
    for name in (
        "queue/join",
        "run/predict",
        "run/predict/",
        "run/_run",
        "api/predict",
        "call/_run",
        "call/v2/_run",
        "component_server",
        "process_recording",
        "reset",
        "cancel",
        "stream/abc",
    )
]


@pytest.fixture(scope="module")
def border(tmp_path_factory):
    """The mounted page, border and all, of an application that nobody asks."""
    settings = Settings(engine="hibari", outputs_dir=str(tmp_path_factory.mktemp("border")))
    service = Service(settings)
    routes = make_app(settings, service).routes
    yield next(one.app for one in routes if isinstance(one, Mount) and one.path == "/ui")
    service.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server's outputs folder, and a client of its page."""
    folder = tmp_path_factory.mktemp("served")
    settings = Settings(port=0, engine="hibari", outputs_dir=str(folder))
    with running(settings) as url, httpx.Client(base_url=f"{url}/ui", timeout=600) as client:
        yield folder, client


@pytest.fixture(scope="module")
def listener():
    """A port of this machine, and its address; nobody may knock there."""
    with socket.create_server(("127.0.0.1", 0)) as opened:
        opened.setblocking(False)
        yield opened, f"http://127.0.0.1:{opened.getsockname()[1]}/a.wav"


def routes_of(app, prefix: str = "") -> set[str]:
    found = set()
    for route in app.routes:
        if inner := getattr(route, "original_router", None):
            found |= routes_of(inner, prefix + route.include_context.prefix)
        else:
            path = (prefix + route.path).rstrip("/") or "/"
            found |= {f"{method} {path}" for method in route.methods}
    return found


def file_data(path: str) -> dict:
    return {"path": path, "url": path, "meta": {"_type": "gradio.FileData"}}


def call_of(number: int, values: list) -> dict:
    return {"fn_index": number, "data": values, "session_hash": "abc", "trigger_id": 1}


def upload(client) -> str:
    """The server's own path of a recording that was uploaded."""
    answer = client.post(UPLOAD, files={"files": ("reading.flac", READING.read_bytes())})
    (path,) = answer.raise_for_status().json()
    return path


def test_every_route_of_this_gradio_is_known(border):
    """A version with another one has to be looked at, though the border refuses it already."""
    assert routes_of(border._app) == PASSING | REFUSED


@pytest.mark.parametrize("route", sorted(REFUSED - {"HEAD /"}))
def test_a_route_that_the_page_does_not_need_is_not_there(route, served):
    """In the service's own envelope, with an object that a function would take as its body."""
    _, client = served
    method, _, path = route.partition(" ")
    for name, sample in SAMPLES.items():
        path = path.replace(f"{{{name}}}", sample)
    answer = client.request(method, path.replace("{", "").replace("}", ""), json={"data": []})
    assert answer.status_code == 404
    assert method == "HEAD" or answer.json()["error_code"] == "RESOURCE_NOT_FOUND"


def test_no_call_reads_a_file_or_an_address(border, served, listener):
    """All functions × all inputs × a file, an address, and a file deep inside."""
    folder, client = served
    opened, address = listener
    file = file_data(str(PASSWORDS))
    for number, function in border._app.blocks.fns.items():
        for position in range(len(function.inputs)):
            for value in (file, file_data(address), [file], {"deep": [file]}):
                values = [None] * len(function.inputs)
                values[position] = value
                answer = client.post(QUEUED, json=call_of(number, values))
                assert answer.status_code in (404, 422), answer.text
                assert str(PASSWORDS) not in answer.text
    assert not [path for path in folder.rglob("page_uploads/**/*") if path.is_file()]
    with pytest.raises(BlockingIOError):
        opened.accept()


@pytest.mark.parametrize("route", CALLS)
def test_no_other_way_to_call_reads_one_either(route, border, served):
    """All functions, a file in all of their inputs, with the keys of every body of Gradio's."""
    folder, client = served
    for number, function in border._app.blocks.fns.items():
        values = [file_data(str(PASSWORDS)) for _ in function.inputs] or [file_data("/etc/passwd")]
        more = {"event_id": "x", "component_id": number, "fn_name": "x"}
        answer = client.post(route, json=call_of(number, values) | more)
        assert answer.status_code in (404, 422), answer.text
    assert not [path for path in folder.rglob("page_uploads/**/*") if path.is_file()]


def test_a_function_is_called_by_its_own_way_alone(border, served):
    """What waits in the queue cannot be called around it, where its errors would be tracebacks."""
    _, client = served
    for number, function in border._app.blocks.fns.items():
        other = AT_ONCE if function.queue else QUEUED
        values = [None] * len(function.inputs)
        assert client.post(other, json=call_of(number, values)).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        PASSWORDS,
        "/proc/self/environ",
        ROOT / "pyproject.toml",
        "../../../etc/passwd",
        "http://127.0.0.1:9/a.wav",
        "%00",
        "",
    ],
)
def test_only_uploads_are_served(path, served):
    """By file=, the page's one way to play a recording before it is sent."""
    _, client = served
    assert client.get(f"{API}/file={path}").status_code in (404, 400)


@pytest.mark.parametrize("name", ["assets", "static"])
def test_scripts_come_out_of_their_folder_alone(name, served):
    _, client = served
    for path in ("../routes.py", "..%2froutes.py", "%2e%2e/routes.py", ".%2e/x", "/etc/passwd"):
        assert client.get(f"/{name}/{path}").status_code == 404


def test_an_upload_is_played_and_converted(border, served):
    """What the border is there for: the page's own upload passes, as source and as target."""
    folder, client = served
    path = upload(client)
    assert Path(path).is_relative_to(folder)
    assert client.get(f"{API}/file={path}").content == READING.read_bytes()
    functions = border._app.blocks.fns
    number = max(number for number, function in functions.items() if function.name == "run")
    blocks = functions[number].inputs
    values = [
        file_data(path) if isinstance(block, gr.Audio) else getattr(block, "value", None)
        for block in blocks
    ]
    assert client.post(QUEUED, json=call_of(number, values)).status_code == 200
    told = client.get(f"{API}/queue/data", params={"session_hash": "abc"}).text
    assert "converted.wav" in told


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 100_000, 400),
        (b"\xff", 400),
        (b"null", 404),
        (b'{"fn_index": true, "data": []}', 404),
        (b'{"fn_index": 999, "data": []}', 404),
        (b'{"fn_index": [], "data": []}', 404),
        (b'{"fn_index": 1, "data": [], "session_hash": "../x"}', 422),
        (b'{"fn_index": 1, "data": {}, "session_hash": "x"}', 422),
        (b'{"fn_index": 1, "data": [1], "session_hash": "x"}', 422),
        (b'{"fn_index": 1, "data": [], "session_hash": "x", "trigger_id": {"path": "x"}}', 200),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_odd_call_is_refused(body, status, served):
    _, client = served
    answer = client.post(AT_ONCE, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert status == 200 or json.loads(answer.content)["success"] is False


def test_the_page_gives_no_leave_to_other_origins(served):
    """Gradio answers preflights, and lets credentials along; behind the border it does not."""
    _, client = served
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for answer in (client.options(QUEUED, headers=asked), client.get("/", headers=asked)):
        assert not [name for name in answer.headers if name.startswith("access-control")]
