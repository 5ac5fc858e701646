"""The command line as an instrument: a text, a file or a pipe goes in, a sound comes out."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from chatter_nb.base.errors import InputError, ParamError
from chatter_nb.base.project import parse_yaml
from chatter_nb.base.screen import has_screen
from chatter_nb.cli.sources import text_source, voice_source
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.speak import plan_speech

HERE = {"CI": "", "SSH_CONNECTION": "", "SSH_TTY": "", "DISPLAY": ":9"}  # a person at a screen


@pytest.fixture
def script(tmp_path):
    """A command that writes its arguments to a file: `script(name)` makes it, `.read` reads."""

    class Script:
        log = tmp_path / "arguments"
        folder = tmp_path / "bin"

        def __call__(self, name: str) -> Path:
            self.folder.mkdir(exist_ok=True)
            path = self.folder / name
            path.write_text(f'#!/bin/sh\nfor a in "$@"; do echo "$a" >> {self.log}; done\n')
            path.chmod(0o755)
            return path

        def read(self) -> list[str]:
            return self.log.read_text().splitlines() if self.log.exists() else []

    return Script()


def test_a_text_is_spoken_copied_and_played(cli, tmp_path, script):
    """`--out X.mp3` sets the format, whose file lies there; the player gets the run's own sound."""
    script("ffplay")
    env = {"PATH": str(script.folder)}
    out = tmp_path / "my words.mp3"
    place = ("-p", f"outputs_dir={tmp_path / 'runs'}", "-p", "run_name=run")
    args = ("Hello and/or goodbye.", "--voice", "heart", "--speed", "1.2", "--engine", "hibari")
    done = cli("speak", *args, "--out", out, "--play", *place, env=env, check=0)
    assert done.stdout.splitlines()[-1] == f"listen: {out.as_uri()}"
    assert script.read()[-1] == str(out)
    run = tmp_path / "runs" / "run"
    assert out.read_bytes() == (run / "speech.mp3").read_bytes()
    params = json.loads((run / "run.json").read_text())["params"]
    assert (params["text"], params["speed"]) == ("Hello and/or goodbye.", 1.2)
    assert [path.name for path in tmp_path.glob("*.part")] == []


def test_without_a_player_a_sentence_says_so(cli, tmp_path):
    """The run is done: exit code 0. `--out DIR/` is the folder of runs."""
    args = ("Hello.", "--play", "--out", f"{tmp_path / 'runs'}/", "-p", "run_name=run")
    done = cli("speak", *args, env={"PATH": str(tmp_path)}, check=0)
    assert "no player for speech.wav is here (mpv, ffplay" in done.stderr
    assert (tmp_path / "runs" / "run" / "speech.wav").exists()


def test_standard_input_and_a_file_are_read(cli, tmp_path):
    """A file is found from the working directory, also outside of the project's root."""
    place = ("-p", f"outputs_dir={tmp_path}", "--json")
    done = cli("speak", "-", *place, input="From a pipe.", check=0)
    assert json.loads(done.stdout)["chunks"][0]["text"] == "From a pipe."
    (tmp_path / "a.txt").write_text("From a file.")
    done = cli("speak", "a.txt", *place, cwd=tmp_path, check=0)
    assert json.loads(done.stdout)["chunks"][0]["text"] == "From a file."


def test_what_a_text_is(tmp_path, monkeypatch):
    """A separator counts where there is no space; a suffix that files have always counts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Hello there").write_text("Words.")
    assert text_source(["Hello there"])["text_file"].endswith("Hello there")
    for text in ("either/or it is", "v1.2", "One.\n\nTwo.", "e.g.", "x" * 5_000):
        assert text_source([text]) == {"text": text, "text_file": ""}
    for text in ("a/b", "/lost", "lost.TXT", "My Book.docx", "x.html", "x.pdf", "x.wav"):
        with pytest.raises(InputError, match="there is no file"):
            text_source([text])
    (tmp_path / "anna").mkdir()
    assert voice_source("anna") == "anna"
    assert voice_source("") == ""


def test_a_run_is_repeated_from_its_record(cli, tmp_path):
    """With the seed that was drawn and the engine that `auto` became: nothing is made anew."""
    args = ("Again, please.", "-p", "seed=-1", "--out", f"{tmp_path}/", "--json")
    first = json.loads(cli("speak", *args, check=0).stdout)
    record = tmp_path / first["run_name"] / "run.json"
    again = json.loads(cli("speak", "-f", record, "--json", check=0).stdout)
    assert (again["run_name"], again["seed"]) == (first["run_name"], first["seed"])
    assert (again["model_calls"], again["files"]) == (0, first["files"])
    assert again["params"]["engine"] == "hibari"
    done = cli("convert", "-f", record, check=2)
    assert "is a parameter file for: chatter-nb speak" in done.stderr


def test_convert_takes_its_recording_and_target_without_p(cli, tmp_path):
    recordings = ROOT / "params" / "recordings"
    out = tmp_path / "said.flac"
    args = ("reading.flac", "--target", "target.flac", "--engine", "world", "--out", out)
    done = cli("convert", *args, "-p", f"outputs_dir={tmp_path}", cwd=recordings, check=0)
    assert f"listen: {out.as_uri()}" in done.stdout
    assert out.read_bytes()[:4] == b"fLaC"


@pytest.mark.parametrize(("env", "opens"), [({}, True), ({"CI": "true"}, False)])
def test_the_runs_page_is_written_and_opened_where_a_person_sees_it(
    cli, tmp_path, script, env, opens
):
    """Its address is printed in both cases."""
    env = HERE | {"BROWSER": f"{script('browser')} %s"} | env
    args = ("Hello.", "--open", "--out", f"{tmp_path}/", "-p", "run_name=run")
    done = cli("speak", *args, env=env, check=0)
    url = (tmp_path / "run" / "page.html").as_uri()
    assert done.stdout.splitlines()[-1] == f"page: {url}"
    assert script.read() == ([url] if opens else [])


@pytest.mark.parametrize(
    ("env", "is_there"),
    [({}, True), ({"CI": "true"}, False), ({"SSH_TTY": "/dev/pts/1"}, False)],
)
def test_a_screen_is_a_display_before_a_person(monkeypatch, env, is_there):
    for name, value in (HERE | env).items():
        monkeypatch.setenv(name, value)
    assert has_screen() is is_there


@pytest.mark.skipif(find_spec("chatterbox") is None, reason="Chatterbox is not installed")
def test_refusals_that_need_no_model_come_before_any_loading(cli, tmp_path):
    """All at once: what the engine does not take, the voice, the text; no weights needed."""
    args = ("?!", "--engine", "chatterbox-turbo", "--speed", "1.2", "--voice", "nobody")
    told = cli("speak", *args, "--out", f"{tmp_path}/", check=2).stderr
    for problem in ("does not take speed", "no letter and no digit", "voice 'nobody' is neither"):
        assert problem in told
    assert "loading" not in told


@pytest.mark.parametrize(
    "code",
    [
        "from chatter_nb.runs.check import check_file; check_file('params/turbo.yaml')",
        "import chatter_nb.cli.app",
    ],
)
def test_nothing_heavy_is_imported_for_a_check_or_the_shells_completion(code):
    """Chatterbox with torch takes ten seconds, numpy and the voice one."""
    heavy = ["torch", "chatterbox", "hibari", *(["numpy"] if "cli" in code else [])]
    code = f"import sys\n{code}\nassert [n for n in {heavy} if n in sys.modules] == []"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_shell_completes_commands_and_engines():
    def complete(words: str, position: int) -> list[str]:
        env = {"_CHATTER_NB_COMPLETE": "complete_bash", "COMP_WORDS": words}
        code = "from chatter_nb.cli.app import app; app(prog_name='chatter-nb')"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **env, "COMP_CWORD": str(position)},
            capture_output=True,
            text=True,
        )
        return done.stdout.split()

    assert complete("chatter-nb spe", 1) == ["speak"]
    assert complete("chatter-nb speak --engine chatterbox-", 3) == [
        "chatterbox-multilingual",
        "chatterbox-turbo",
    ]


def test_an_unquoted_colon_is_told_with_its_cure():
    with pytest.raises(ParamError, match="put the text in quotes, as it holds a colon"):
        parse_yaml("text: Note: this", where="a.yaml")
    assert yaml.safe_load('text: "Note: this"') == {"text": "Note: this"}


def test_a_text_in_another_language_is_noted(tmp_path):
    """Only where nobody said which language it is."""
    german = "Der Hund ist nicht im Haus, und die Katze sitzt auf dem Dach."
    values = {"text": german, "engine": "hibari", "outputs_dir": str(tmp_path)}
    (note,) = plan_speech(SpeakParams(**values)).warnings
    assert note == (
        "the text seems to be in 'de', and hibari reads it in 'en': set language: de and engine: "
        "chatterbox-multilingual"
    )
    assert plan_speech(SpeakParams(**values, language="en")).warnings == ()
