"""The command line as a person and as a machine use it: bad input ends in a sentence and 2."""

import json

import pytest
from conftest import ROOT

from chatter_nb.base.project import read_yaml

GOOD = ("-p", "text=Hello there.")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["-p", "text="], "there is nothing to speak"),
        (["-p", "text=  \n "], "there is nothing to speak"),
        (["-p", "text=?! ..."], "no letter and no digit"),
        (["-p", "text_file=nowhere.txt"], "nowhere.txt does not exist"),
        (["-p", "text_file=Makefile.bin"], "Makefile.bin does not exist"),
        ([*GOOD, "-p", "chunk_char=100"], "did you mean 'chunk_chars'?"),
        ([*GOOD, "-p", "seed=first"], "seed: should be a valid integer"),
        ([*GOOD, "-p", "speed=7"], "speed: should be less than or equal to 2"),
        ([*GOOD, "-p", "temperature=nan"], "temperature: should be a finite number"),
        ([*GOOD, "-p", "run_name=../away"], "cannot name a folder"),
        ([*GOOD, "-p", "exaggeration=0.7", "-p", "engine=hibari"], "does not take exaggeration"),
        ([*GOOD, "-p", "seed=1", "-p", "seed=2"], "seed is given twice"),
        ([*GOOD, "-p", "device=cuda", "-p", "engine=hibari"], "runs on the cpu only"),
        ([*GOOD, "-p", "engine=chatterbox"], "is not on this machine and cannot be fetched"),
        ([*GOOD, "-p", "checkpoint=/x", "-p", "engine=hibari"], "does not take checkpoint"),
        ([*GOOD, "--nonsense"], "No such option"),
        ([*GOOD, "-p", "speed"], "must be name=value"),
        ([*GOOD, "-p", "outputs_dir=/proc/nowhere"], "cannot write to /proc/nowhere"),
        (["-f", "none.yaml"], "cannot read parameter file"),
        (["-f", "helo.yaml"], "did you mean params/hello.yaml?"),
        (["and/or"], "there is no file 'and/or'"),
        (["params/texts/no such part"], "there is no file 'params/texts/no such part'"),
        (["-f", "params/recordings/reading.flac"], "is no parameter file: it is not text"),
        (["The Lost Book.epub"], "there is no file 'The Lost Book.epub'"),
        (["Hello", "there", "--play"], 'put the text in quotes: chatter-nb speak "Hello there"'),
        (["params/hello.yaml"], "chatter-nb speak -f params/hello.yaml"),
        (["params/recordings/reading.flac"], "reading.flac' is a recording, not a text"),
        (["Hello there.", *GOOD], "-p text='Hello there.' is given without -p as well"),
        (["Hello there.", "--speed", "9"], "speed: should be less than or equal to 2"),
        (["Hello there.", "--out", "a.m4a"], "--out a.m4a must end in one of .wav .flac .mp3"),
        (["Hello there.", "--out", "none/a.mp3"], "there is no folder none"),
        (["params/texts/fables", "-p", "merge=false", "--out", "a.wav"], "this makes 3 files"),
    ],
)
def test_bad_input_is_a_sentence_and_exit_code_2(cli, tmp_path, args, told):
    """No traceback, nothing written."""
    place = [] if "outputs_dir" in str(args) else ["-p", f"outputs_dir={tmp_path}"]
    done = cli("speak", *place, *args, check=2)
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("verb", "name"), [("speak", "text"), ("convert", "source")])
def test_nothing_given_is_told_with_what_to_give(cli, verb, name):
    told = cli(verb, check=2).stderr
    assert f"(-f FILE) or parameters, such as: chatter-nb {verb} -p {name}=" in told


@pytest.mark.parametrize(
    ("data", "told"),
    [(b"", "is empty (0 bytes)"), (b" \n", "nothing to speak"), (b"\x00\x01\xff", "is binary")],
)
def test_bad_text_files_are_exit_code_2(cli, tmp_path, data, told):
    (tmp_path / "a.txt").write_bytes(data)
    done = cli("speak", "-p", f"text_file={tmp_path / 'a.txt'}", check=2)
    assert told in done.stderr


def test_an_empty_pipe_is_told_as_what_it_is(cli):
    assert "standard input holds no text" in cli("speak", "-", input=" \n", check=2).stderr


def test_errors_name_paths_as_a_person_in_that_folder_writes_them(cli, tmp_path):
    """Below the folder short, elsewhere whole."""
    for name, folder in (("no.txt", tmp_path), (str(tmp_path / "no.txt"), ROOT)):
        told = cli("speak", "-p", f"text_file={name}", cwd=folder, check=2).stderr
        assert told == f"error: text file {name} does not exist\n"


def test_bad_input_does_not_touch_an_earlier_run(cli, tmp_path):
    """What was made stays proved."""
    place = ("-p", f"outputs_dir={tmp_path}", "-p", "run_name=run")
    cli("speak", *GOOD, *place, check=0)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    cli("speak", *GOOD, *place, "-p", "seed=x", check=2)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_speak_prints_who_speaks_and_why_then_where_the_result_is(cli, tmp_path):
    done = cli("speak", *GOOD, "-p", f"outputs_dir={tmp_path}", "-p", "run_name=run", check=0)
    assert "engine: hibari (the embedded voice" in done.stdout
    assert "device: cpu" in done.stdout
    assert "not chatterbox" in done.stdout
    assert f"{tmp_path / 'run'}: speech.wav, speech.words.json, run.json" in done.stdout


def test_json_is_the_record_and_nothing_else(cli, tmp_path):
    done = cli("speak", *GOOD, "-p", f"outputs_dir={tmp_path}", "--json", check=0)
    assert json.loads(done.stdout)["status"] == "ok"


def test_a_file_and_overrides(cli, tmp_path):
    """-p wins over the file; the run is named after the file."""
    (tmp_path / "night.yaml").write_text("text: Good night.\nseed: 1\n")
    args = ("-f", tmp_path / "night.yaml", "-p", "seed=2", "-p", f"outputs_dir={tmp_path}")
    record = json.loads(cli("speak", *args, "--json", check=0).stdout)
    assert (record["run_name"], record["seed"]) == ("night", 2)


def test_paths_are_the_projects_from_any_folder(cli, tmp_path):
    """A relative text file starts at the project root, also from notebooks/."""
    args = ("-p", "text_file=params/texts/lecture_notes.md", "-p", f"outputs_dir={tmp_path}")
    cli("speak", *args, cwd=ROOT / "notebooks", check=0)


def test_check_says_every_problem_of_every_file(cli, tmp_path):
    (tmp_path / "good.yaml").write_text("text: Hi.\n")
    (tmp_path / "bad.yaml").write_text("text: Hi.\nseed: x\nspeeed: 1\n")
    (tmp_path / "lost.yaml").write_text("text_file: nowhere.txt\n")
    files = [tmp_path / name for name in ("good.yaml", "bad.yaml", "lost.yaml")]
    done = cli("check", *files, check=2)
    assert f"{files[0]}: ok" in done.stdout
    assert "seed: should be a valid integer" in done.stdout
    assert "did you mean 'speed'?" in done.stdout
    assert "nowhere.txt does not exist" in done.stdout
    found = json.loads(cli("check", *files, "--json", check=2).stdout)
    assert [found[str(file)] == [] for file in files] == [True, False, False]


def test_check_says_all_that_is_wrong_with_one_file(cli, tmp_path):
    """Parameters, engine, voice and text, each of which would stop a run."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("text_file: nowhere.txt\nseed: x\nspeed: 9\n")
    out = cli("check", bad, check=2).stdout
    assert [told in out for told in ("seed:", "speed:", "nowhere.txt does not exist")] == [True] * 3
    bad.write_text("text_file: nowhere.txt\nengine: hibari\nlanguage: fr\nexaggeration: 0.5\n")
    out = cli("check", bad, check=2).stdout
    for told in ("language 'fr'", "does not take exaggeration", "nowhere.txt does not exist"):
        assert out.count(told) == 1
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "1.txt").write_text("One [pause 5] two.")
    (texts / "2.txt").write_text("你好")
    bad.write_text(f"text_file: {texts}\nmerge: false\nvoice: bob\n")
    out = cli("check", bad, check=2).stdout
    for told in ("no voice 'bob'", "1.txt: '[pause 5]' is not", "2.txt: engine 'hibari' would"):
        assert told in out


def test_every_preset_of_the_embedded_voice_passes_check(cli):
    """Those of Chatterbox need its package; `test_params` validates all, conversions too."""
    presets = {file: read_yaml(file) for file in sorted((ROOT / "params").glob("*.yaml"))}
    embedded = [f for f, p in presets.items() if "source" not in p and "engine" not in p]
    assert len(embedded) >= 6
    cli("check", *embedded, check=0)


@pytest.mark.slow
def test_clean_prunes_only_what_is_asked(cli, tmp_path):
    """Without options it removes nothing; --unused keeps what a run.json names."""
    place = ("-p", f"outputs_dir={tmp_path}", "-p", "run_name=run")
    cli("speak", "-p", "text=First version.", *place, check=0)
    cli("speak", "-p", "text=Second version.", *place, check=0)
    here = ("--outputs-dir", tmp_path, "--json")
    assert json.loads(cli("clean", *here, check=0).stdout)["chunks"] == 2
    assert json.loads(cli("clean", *here, "--older-than", "1h", check=0).stdout)["removed"] == 0
    assert json.loads(cli("clean", *here, "--unused", check=0).stdout)["removed"] == 1
    record = json.loads(cli("speak", "-p", "text=Second version.", *place, "--json").stdout)
    assert record["model_calls"] == 0
    cli("clean", "--older-than", "soon", check=2)


def test_an_unknown_suite_lists_the_known(cli):
    assert "there is: embedded" in cli("bench", "t5", check=2).stderr


def test_version_and_help(cli):
    assert cli("--version", check=0).stdout.strip().count(".") == 2
    assert "speak" in cli("--help", check=0).stdout
