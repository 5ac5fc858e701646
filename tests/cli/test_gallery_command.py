"""`chatter-nb gallery`: a page over all runs, and a server that only its own page can use."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import pytest
from browser import browser_page
from conftest import ROOT

from chatter_nb.batch.choices import load_choices, marked_runs
from chatter_nb.pages.gallery.server import GalleryServer
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import generate_tts


@pytest.fixture
def runs(tmp_path):
    """A run by hand, a run of a batch, and a file that is nobody's business."""
    folder = tmp_path / "outputs"
    for place, name in ((folder, "one"), (folder / "grid", "two 2")):
        values = {"text": "The river ran high.", "engine": "hibari", "run_name": name}
        generate_tts(SpeakParams.create(values | {"outputs_dir": str(place)}))
    (folder / "one" / "secret.txt").write_text("secret")
    return folder


@pytest.fixture
def server(runs):
    with GalleryServer(runs) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def ask(server, path, method="GET", body=None, **headers):
    """The status and the body of an answer; `path` follows the token."""
    connection = http.client.HTTPConnection(server.host)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, f"/{server.token}/{path}", body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def chosen(**values) -> bytes:
    return json.dumps({"schema": 1, "choices": {"one": values}}).encode()


def test_the_command_writes_the_gallery_and_the_page_of_each_run(cli, runs):
    assert cli("gallery", str(runs)).stdout.strip() == (runs / "index.html").as_uri()
    page = (runs / "index.html").read_text()
    assert 'href="grid/two%202/page.html"' in page
    assert (runs / "one" / "page.html").is_file()
    assert "gallery.html" in cli("gallery", str(runs), "--embed").stdout
    assert "data:audio/mpeg" in (runs / "gallery.html").read_text()


def test_no_folder_is_a_sentence_and_exit_code_2(cli, tmp_path):
    assert "no folder of runs" in cli("gallery", str(tmp_path / "none"), check=2).stderr


def test_a_run_itself_is_no_folder_of_runs(cli, runs):
    """A page that says "No runs yet" would be written into the run otherwise."""
    told = cli("gallery", runs / "one", check=2).stderr
    assert f"one is one run; its page: chatter-nb page {runs / 'one'}" in told
    assert not (runs / "one" / "index.html").exists()
    for place, found in (("nope", "there is no such folder"), ("", "no readable run.json")):
        assert found in cli("page", runs / place, check=2).stderr


def test_what_is_chosen_in_a_browser_is_in_the_file(server, runs):
    """The page says that it is saved when it is; a second choice keeps the first."""
    with browser_page() as page:
        page.goto(server.url)
        row = page.locator("tr", has=page.locator("th[data-key='one']"))
        row.get_by_label("compare").check()
        page.get_by_text("Saved in choices.json").wait_for()
        assert marked_runs(runs / "choices.json", "compare") == [runs / "one"]
        page.reload()
        other = page.locator("tr", has=page.locator("th[data-key='grid/two 2']"))
        with page.expect_response("**/choices.json") as response:
            other.get_by_role("button", name="5 stars").click()
        assert response.value.ok
        assert load_choices(runs / "choices.json").choices["grid/two 2"].stars == 5
        assert marked_runs(runs / "choices.json", "compare") == [runs / "one"]
        (runs / "choices.json").write_text("damaged")
        other.get_by_label("keep").check()
        page.get_by_text("Not saved: ").wait_for()
        assert (runs / "choices.json").read_text() == "damaged"


def test_files_that_the_page_links_are_served_and_no_others(server, runs):
    audio = (runs / "one" / "speech.wav").read_bytes()
    assert ask(server, "one/speech.wav")[0] == 404  # before the page, nothing is linked
    assert ask(server, "")[0] == 200
    assert ask(server, "one/speech.wav") == (200, audio)
    assert ask(server, "one/speech.wav", Range="bytes=10-19") == (206, audio[10:20])
    assert ask(server, "one/speech.wav", Range=f"bytes={len(audio)}-")[0] == 416
    assert ask(server, "grid/two%202/run.json")[0] == 200
    for name in ("review.html", "review/take.opus", "review/take.txt"):
        (runs / "one" / name).parent.mkdir(exist_ok=True)
        (runs / "one" / name).write_text("a review and its takes")
    assert ask(server, "one/review/take.opus")[0] == 404
    ask(server, "")  # now it links the review, which links its takes
    assert ask(server, "one/review.html")[0] == ask(server, "one/review/take.opus")[0] == 200
    for path in (
        "one/review/take.txt",
        "one/review/../secret.txt",
        "one/secret.txt",
        "one",
        "one/../one/secret.txt",
        "..%2F..%2Fetc%2Fpasswd",
        "%00",
    ):
        assert ask(server, path)[0] == 404


def test_who_does_not_have_the_page_reads_and_writes_nothing(server, runs):
    """Another host name (a rebound one), another origin, a wrong token."""
    ask(server, "")
    assert ask(server, "one/run.json", Host="evil.example")[0] == 404
    refused = ask(server, "choices.json", "POST", chosen(keep=True), Origin="https://evil.example")
    assert refused[0] == 404
    server.token, true = "wrong", server.token
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(address.netloc)
    connection.request("GET", f"/{true}/one/run.json")
    assert connection.getresponse().status == 404
    assert not (runs / "choices.json").exists()


def test_only_choices_are_written(server, runs):
    """Nonsense, another name, a run outside the folder, too much: refused, with a sentence."""
    assert ask(server, "one/run.json", "POST", b"{}")[0] == 404
    assert ask(server, "choices.json", "POST", chosen(stars=6))[0] == 400
    outside = {"schema": 1, "choices": {"../../etc": {"stars": 1}}}
    status, told = ask(server, "choices.json", "POST", json.dumps(outside).encode())
    assert (status, b"beside the file" in told) == (400, True)
    assert ask(server, "choices.json", "POST", b"", Content_Length=str(1 << 40))[0] == 413
    assert not (runs / "choices.json").exists()
    assert ask(server, "choices.json", "POST", chosen(stars=2))[0] == 200
    assert ask(server, "choices.json", "POST", chosen())[0] == 200  # nothing is chosen any more
    assert load_choices(runs / "choices.json").choices == {}


def test_ctrl_c_ends_the_server(runs):
    """A real Ctrl-C in a real process, when the address is told; the exit code is 0."""
    command = [sys.executable, "-m", "chatter_nb.cli", "gallery", str(runs), "--open"]
    environment = os.environ | {"CI": "true"}  # no browser opens
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )
    try:
        told = next(line for line in process.stdout if "Ctrl-C" in line)
        address = urlsplit(told.split()[0])
        connection = http.client.HTTPConnection(address.netloc)
        connection.request("GET", address.path)
        assert connection.getresponse().status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    finally:
        process.kill()
        process.communicate()
