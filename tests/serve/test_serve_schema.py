"""Thousands of generated requests to a real server: no 5xx, nothing that its document denies."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from serving import Server, serving

pytest.importorskip("schemathesis", reason="needs schemathesis")
pytest.importorskip("fastapi", reason="needs the extra [serve]")

# Left out of schemathesis' checks:
# - positive_data_acceptance: what goes together (an engine and its knobs, a format and its bits, a
#   text and the letters of a language) is checked by the parameters, and no schema can say it.
# - use_after_free: DELETE stops a job that has not ended, which is then there as cancelled; whether
#   one has ended is a race. Voices that are deleted have a test of their own.
# - ignored_auth: these servers have no key; the key has tests of its own.
# - max_response_time, object_level_authorization: there is no such promise, and no owner.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ensure_resource_availability",
)
SEED = 20_261


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One of the embedded voice: its work is short, and generated texts are."""
    with serving(tmp_path_factory.mktemp("schema"), "--engine", "hibari") as one:
        yield one


def fuzzed(server: Server, folder: Path, *args: str) -> dict:
    """What schemathesis reports of the server; a failure is shown with the request that made it."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"]
    command += ["--checks", ",".join(CHECKS), "--seed", str(SEED), "--no-color", *args]
    command += ["--continue-on-failure", "--report", "json", "--report-json-path", str(report)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    told = json.loads(report.read_text())
    assert told["operations"]["tested"] == told["operations"]["total"] >= 17
    assert not told["errors"]
    assert not told["warnings"]["unresolvable_reference"]
    assert "Traceback" not in server.log.read_text()
    return told


@pytest.mark.slow
def test_two_thousand_requests_keep_to_the_document(server, tmp_path):
    """Every bound of every field, then random ones, then chains of requests."""
    told = fuzzed(server, tmp_path, "--phases", "coverage,fuzzing,stateful", "--max-examples", "60")
    assert told["test_cases"]["generated"] >= 2_000


def test_null_is_documented_as_left_out():
    """`order_of` takes it so, for every field but the text."""
    from chatter_nb.serve.openai_body import body_schema

    fields = body_schema(100)["properties"]
    null = {"type": "null"}
    assert [name for name in fields if null not in fields[name].get("anyOf", ())] == ["input"]
