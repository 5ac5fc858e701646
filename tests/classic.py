"""A form in the classic notebook, whose widgets are those of ipywidgets 7, in a real Chromium."""

import re
import secrets
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from serving import free_port

from chatter_nb.bench.suites import lab as labs

SPEAK = """import chatter_nb as cn
from chatter_nb.notebook import forms
values = {"text": "Hello there.", "engine": "hibari", "run_name": "classic"}
forms.speak_form(cn.SpeakParams(**values))"""
MS = 1000


def speaks(env: Path, folder: Path, surroundings: dict[str, str]) -> str:
    """Upload a text, press Speak, hear it, make its line again; and no script fails."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(SPEAK)]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, folder / "classic.ipynb")
    faults: list[str] = []
    with _served(env, folder, surroundings) as (address, token), labs.browser_page() as page:
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{address}/notebooks/classic.ipynb?token={token}")
        page.wait_for_selector(".kernel_idle_icon", timeout=600 * MS)
        page.evaluate("Jupyter.notebook.execute_all_cells()")
        speak = _button(page, "Speak")
        speak.wait_for(timeout=600 * MS)
        text = {"name": "a.txt", "mimeType": "text/plain", "buffer": b"A text from a file."}
        page.locator("input[type=file]").first.set_input_files(text)
        page.get_by_text("a.txt is in the field above").wait_for(timeout=600 * MS)
        speak.click()
        page.wait_for_selector("audio", state="attached", timeout=600 * MS)
        audio_s = page.evaluate(_DURATION)
        _button(page, "Hear and mend line by line").click()
        page.get_by_role("button", name="Make again").click(timeout=600 * MS)
        page.get_by_text(re.compile("take 1 is made")).wait_for(timeout=600 * MS)
    assert not faults, "; ".join(faults)
    assert 0.5 < audio_s < 5, f"the player holds {audio_s} s of audio"
    return f"{audio_s:.1f} s of audio, made again"


_DURATION = """async () => {
    const audio = document.querySelector("audio");
    audio.preload = "metadata";
    audio.load();
    for (let wait = 0; wait < 100 && !(audio.duration > 0); wait++)
        await new Promise((go) => setTimeout(go, 50));
    return audio.duration;
}"""


def _button(page, name: str):
    return page.locator("button.jupyter-button").filter(has_text=re.compile(f"^{name}$"))


@contextmanager
def _served(env: Path, folder: Path, surroundings: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The classic notebook's server; its address and token."""
    token, port = secrets.token_hex(16), free_port()
    address = f"http://127.0.0.1:{port}"
    command = [env / "bin" / "jupyter", "notebook", "--no-browser", "--allow-root"]
    command += [f"--port={port}", f"--NotebookApp.token={token}", f"--notebook-dir={folder}"]
    own = surroundings | {"JUPYTER_CONFIG_DIR": str(env / "config")}
    with (env / "notebook.log").open("w+b") as log:
        server = subprocess.Popen(command, env=own, stdout=log, stderr=log)
        try:
            _wait_for(f"{address}/api?token={token}", server)
            yield address, token
        finally:
            server.terminate()
            server.wait(600)


def _wait_for(address: str, server: subprocess.Popen) -> None:
    end_s = time.monotonic() + 600
    while time.monotonic() < end_s and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=10).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the classic notebook's server did not start")
