"""The forms without a browser: real widgets and engines, messages as a browser would send them."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import soundfile
from conftest import ROOT

from chatter_nb.base.errors import ParamError
from chatter_nb.notebook.forms import convert_form, speak_form
from chatter_nb.notebook.forms.uploads import safe_name
from chatter_nb.notebook.forms.worker import Worker
from chatter_nb.params.runs import ConvertParams, SpeakParams
from chatter_nb.runs.convert import convert_voice
from chatter_nb.runs.edits import edit_of
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.resume import kept_chunks
from chatter_nb.runs.speak import generate_tts
from chatter_nb.runs.speak_plan import plan_speech
from chatter_nb.runs.store import ChunkStore

TARGET = "params/recordings/target.flac"
TEXT = "The north wind blew.\n\nThe sun came out.\n\nEveryone was warm again."


@pytest.fixture
def form(tmp_path):
    def make(**values):
        values = {"text": TEXT, "engine": "hibari"} | values
        return speak_form(SpeakParams(outputs_dir=str(tmp_path), **values))

    return make


def press_speak(form, *, timeout_s=600):
    """As a person does: not twice within a third of a second, which is taken for one click."""
    time.sleep(max(0, form._clicked_s + 0.31 - time.monotonic()))
    form._go.click()
    assert form.wait(timeout_s)
    return form


def problem(form) -> str:
    return form.notices.box.value


def test_speak_makes_what_a_headless_run_makes(form, tmp_path):
    """The form, the cell and the batch call the same function with the same object."""
    made = press_speak(form())
    (take,) = made.takes.all
    headless = generate_tts(
        SpeakParams(text=TEXT, engine="hibari", outputs_dir=str(tmp_path / "h"))
    )
    assert [f.sha256 for f in take.speech.record.files] == [f.sha256 for f in headless.record.files]
    assert "<audio" in str(made._result.outputs)
    assert problem(made) == ""
    assert not made._go.disabled
    assert made._stop.disabled


def test_every_parameter_goes_into_the_form_and_out_again(form, tmp_path):
    """Those that the engine takes; nothing is typed twice, nothing forgotten."""
    given = {"voice": "x", "seed": 7, "speed": 0.85, "chunk_chars": 100, "crossfade_ms": 5}
    given |= {"formats": ("flac", "mp3"), "wav_bits": 24, "takes": {"ab": 2}, "merge": False}
    given |= {"replacements": {"a": "b"}, "run_name": "r", "language": "en", "device": "cpu"}
    made = form(**given)
    wanted = SpeakParams(text=TEXT, engine="hibari", outputs_dir=str(tmp_path), **given)
    assert made.params == wanted
    assert set(made.sheet.controls) == set(SpeakParams.model_fields) - {"text", "interactive"}


def test_knobs_follow_the_engine(form):
    """What hibari does not take is out of sight, and out of the parameters."""
    made = form()
    controls = made.sheet.controls
    assert controls["speed"].box.layout.display is None
    assert controls["temperature"].box.layout.display == "none"
    controls["engine"].value = "chatterbox-turbo"
    assert controls["temperature"].box.layout.display is None
    assert controls["temperature"].inputs[-1].value == 0.8  # where its slider starts
    controls["temperature"].value = 0.6
    assert made.params.temperature == 0.6
    controls["engine"].value = "hibari"
    assert made.params.temperature is None


def test_the_count_follows_the_text(form):
    made = form(text="One two three. " * 10)
    assert "150 characters, 1 chunk, about 9 s of audio" in made._count.value
    made.text.value = "One.\n\nTwo."
    assert "10 characters, 2 chunks" in made._count.value
    made.text.value = " "
    assert "there is nothing to speak" in made._count.value
    made.sheet.controls["seed"].value = -7
    assert "seed: should be greater than or equal to -1" in made._count.value  # not "2 problems"


def test_errors_are_sentences_and_all_of_them(form):
    """The list of the parameter object's, not a traceback; nothing is made."""
    made = form()
    made.sheet.controls["seed"].value = -7
    made.sheet.controls["chunk_chars"].value = 3
    press_speak(made)
    assert problem(made).count("<li>") == 2
    assert "seed" in problem(made)
    assert "chunk_chars" in problem(made)
    assert "Traceback" not in problem(made)
    assert made.takes.all == ()
    made.sheet.controls["seed"].value = 0
    made.sheet.controls["chunk_chars"].value = 280
    press_speak(made)
    assert problem(made) == ""
    assert len(made.takes.all) == 1


def test_an_engines_refusal_is_a_sentence(form):
    made = press_speak(form(text="你好 and hello."))
    assert "would leave out" in problem(made)
    assert "<li>你 CJK UNIFIED IDEOGRAPH-4F60, 1 time: “你好 and hello.”</li>" in problem(made)
    assert ">replacements:  # put what is to be said between" in problem(made)  # to be copied
    assert not made._go.disabled


def test_what_no_one_foresaw_is_told_and_the_form_goes_on(form, monkeypatch):
    made = form()
    monkeypatch.setattr(made, "_perform", lambda *args: 1 / 0)
    press_speak(made)
    assert "defect" in problem(made)
    assert "ZeroDivisionError" in problem(made)
    monkeypatch.undo()
    press_speak(made)
    assert len(made.takes.all) == 1


def test_a_click_storm_is_one_run(form, tmp_path):
    """Twenty clicks, as fast as messages come: one take, and a form that works."""
    made = form()
    for _ in range(20):
        made._go.click()
    assert made.wait(600)
    assert len(made.takes.all) == 1
    assert len(list(tmp_path.glob("*/run.json"))) == 1


def test_cancel_keeps_what_is_finished_and_speak_goes_on(form, tmp_path):
    paragraphs = "\n\n".join(f"This is sentence number {n} of many." for n in range(200))
    made = form(text=paragraphs)
    seen = threading.Event()
    update = made._progress.update
    made._progress.update = lambda progress: (update(progress), seen.set())
    made._go.click()
    assert seen.wait(600)
    made._stop.click()
    assert made.wait(600)
    assert "stopped after" in problem(made)
    assert made.takes.all == ()
    (heard,) = made._result.outputs
    assert "what is finished of this run" in str(heard)
    assert "data:audio/ogg" in str(heard)
    (unfinished,) = map(RunFolder, filter(Path.is_dir, tmp_path.glob("[!.]*")))
    kept = kept_chunks(unfinished, ChunkStore(tmp_path))
    assert 0 < kept < 200
    press_speak(made)
    (take,) = made.takes.all
    assert sum(chunk.cached for chunk in take.speech.record.chunks) >= kept


def mend(form, kind, edit, **values):
    """Ask as the editor in a browser does; returns the answer."""
    answers = []
    form.review.send = lambda content, buffers=None: answers.append(content)
    about = {"turn": "1", "kind": kind, "edit": edit.model_dump(mode="json"), **values}
    form.review._take(form.review, about, [])
    assert form.wait(600)
    return answers[-1]


def test_a_line_is_made_again_alone_and_the_files_follow(form):
    """Its samples are others, all the others' are kept; the player has the new file."""
    made = press_speak(form(seed=-1))
    (before,) = made.takes.all
    made._mend.value = True
    edit = edit_of(before.speech.record.chunks[1])
    assert mend(made, "again", edit)["value"]["take"] == 1
    assert made.takes.all == (before,)
    edit = edit.model_copy(update={"take": 1})
    mend(made, "save", edit)
    assert "error" not in mend(made, "apply", edit)
    (after,) = made.takes.all
    chunks = after.speech.record.chunks
    assert [chunk.take for chunk in chunks] == [0, 1, 0]
    assert [chunk.cached for chunk in chunks] == [True, True, True]  # heard, so made, before
    assert after.speech.record.files[0].sha256 != before.speech.record.files[0].sha256
    assert after.player in str(made._result.outputs[0]["data"]["text/html"])
    assert not made._go.disabled


def test_lines_are_not_written_before_somebody_looks(form):
    made = press_speak(form())
    assert made.review.data == {}
    made._mend.value = True
    assert len(made.review.data["lines"]) == 3
    assert made.review.layout.display != "none"
    made._mend.value = False
    assert made.review.layout.display == "none"


def test_every_draw_of_a_seed_is_a_take(form):
    """With its seed told, so that its settings make it again."""
    made = form(seed=-1)
    for _ in range(2):
        press_speak(made)
    first, second = made.takes.all
    assert first.params.seed == first.speech.record.seed >= 0
    assert first.params.seed != second.params.seed
    assert first.speech.folder != second.speech.folder
    assert made.params.seed == -1
    made.takes._cards.children[1].children[1].children[0].click()  # the first one's settings
    assert made.params.seed == first.params.seed


def test_a_file_that_was_edited_is_another_take(form, tmp_path):
    path = tmp_path / "mine.txt"
    made = form(text="", text_file=str(path))
    for text in ("One wind blew.", "One wind blew, and then it blew once more."):
        path.write_text(text)
        press_speak(made)
        assert problem(made) == ""
    first, second = made.takes.all
    assert first.speech.audio_s < second.speech.audio_s
    assert first.speech.folder != second.speech.folder


def test_knobs_that_the_engine_does_not_take_are_told(form, tmp_path):
    made = form()
    made.yaml.text.value = "text: a\nengine: hibari\ncfg_weight: 0.5\ntemperature: 0.7"
    made.yaml.load()
    assert "does not take cfg_weight, temperature: left out" in problem(made)


def test_a_slider_holds_what_was_loaded(form):
    """To the last digit, and below its first step."""
    asked = {"temperature": 0.01, "top_p": 0.02, "min_p": 0.0123456789}
    made = form(engine="chatterbox", **asked)
    assert {name: getattr(made.params, name) for name in asked} == asked


def test_a_slider_that_is_only_drawn_is_not_set(form):
    """The browser sums steps up and says so, whether or not the engine's own value came before."""
    made = form(engine="chatterbox", speed=None)
    temperature = made.sheet.controls["temperature"]
    (slider,) = temperature.inputs
    assert slider.value == 0.8
    slider.value = 0.8000000000000002
    assert temperature.value is None
    slider.value = 0.85
    assert temperature.value == 0.85
    slider.value = 0.8
    assert temperature.value is None


def test_what_is_left_to_the_engine_is_told_in_a_dropdown(form):
    meanflow = form(engine="chatterbox").sheet.controls["meanflow"]
    (box,) = meanflow.inputs
    for value, told in ((None, "the engine's own"), (False, "no"), (None, "the engine's own")):
        meanflow.value = value
        assert box.label == told
        assert meanflow.value is value


def test_a_run_that_is_gone_is_a_sentence(form):
    import shutil

    made = press_speak(form())
    made._mend.value = True
    (take,) = made.takes.all
    shutil.rmtree(take.speech.folder)
    chunk = take.speech.record.chunks[0]
    answer = mend(made, "audio", edit_of(chunk), key=chunk.key)
    assert "speech.wav" in answer["error"]
    assert "Traceback" not in answer["error"]


def test_a_thread_that_cannot_start_leaves_the_form_usable(form, monkeypatch):
    made = form()

    def refuse(work):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(made._worker, "start", refuse)
    press_speak(made)
    assert "can't start new thread" in problem(made).replace("&#x27;", "'")
    assert not made._go.disabled
    assert made._stop.disabled
    monkeypatch.undo()
    press_speak(made)
    assert len(made.takes.all) == 1


def test_takes_stand_side_by_side_with_what_differs(form):
    """The same settings once more replace their take; others stand beside it, and can be used."""
    made = press_speak(form())
    press_speak(made)
    assert len(made.takes.all) == 1
    made.sheet.controls["speed"].value = 0.8
    made.sheet.controls["sentence_pause_ms"].value = 300
    press_speak(made)
    newest, oldest = made.takes._cards.children
    assert "speed: 0.8" in newest.children[0].value
    assert "pause after a sentence: 300" in newest.children[0].value
    assert "speed: –" in oldest.children[0].value
    assert "longest chunk" not in newest.children[0].value
    oldest.children[1].children[0].click()  # Use these settings
    assert made.params.speed is None


def test_the_notebooks_own_run_made_again_is_the_same_take(tmp_path):
    """The cell's folder has another name than the form's where a file is read."""
    source = ROOT / "params/recordings/target.flac"
    reading = ROOT / "params/recordings/reading.flac"
    values = {"source": str(source), "target": str(reading), "engine": "world"}
    params = ConvertParams(**values, outputs_dir=str(tmp_path))
    made = convert_form(params, convert_voice(params))
    press_speak(made)
    (take,) = made.takes.all
    assert take.number == 1
    made.sheet.controls["window_s"].value = 5.0
    press_speak(made)
    assert [take.number for take in made.takes.all] == [1, 2]


def test_takes_of_a_named_run_do_not_overwrite_each_other(form, tmp_path):
    made = press_speak(form(run_name="story"))
    made.sheet.controls["speed"].value = 0.8
    press_speak(made)
    folders = {take.speech.folder for take in made.takes.all}
    assert len(folders) == 2
    assert all(folder.name.startswith("story-") for folder in folders)


def test_yaml_goes_round(form):
    made = form(speed=0.9)
    told = made.yaml.copied()
    assert "speed: 0.9" in told
    made.yaml.text.value = told.replace("0.9", "1.25")
    made.yaml.load()
    assert made.params.speed == 1.25
    assert made.text.value == TEXT


def test_show_yaml_shows_the_form_as_it_is(form):
    """Also after a change; what a person put there stays, and nobody is told of an empty text."""
    made = form(speed=0.9)
    made.yaml._fold.value = True
    assert "speed: 0.9" in made.yaml.text.value
    made.yaml._fold.value = False
    made.sheet.controls["speed"].value = 1.25
    made.yaml._fold.value = True
    assert "speed: 1.25" in made.yaml.text.value
    made.yaml._fold.value = False
    made.yaml.text.value = "text: pasted"
    made.yaml._fold.value = True
    assert made.yaml.text.value == "text: pasted"
    empty = form(text="", text_file="params/texts/fables")
    empty.sheet.controls["text_file"].value = ""
    empty.yaml._fold.value = True
    assert empty.yaml.text.value == problem(empty) == ""


def test_yaml_that_does_not_hold_changes_nothing(form):
    made = form(speed=0.9)
    made.yaml.text.value = "text: a\nsede: 3"
    with pytest.raises(ParamError, match="did you mean 'seed'"):
        made.yaml.load()
    assert made.params.speed == 0.9


def send(upload, path_or_bytes, name, *, part_bytes=1000):
    """What the browser sends; returns what it is told at the end."""
    data = path_or_bytes if isinstance(path_or_bytes, bytes) else path_or_bytes.read_bytes()
    answers = []
    upload.send = lambda content, buffers=None: answers.append(content)
    upload._take(upload, {"kind": "begin", "turn": 1, "name": name, "size": len(data)}, [])
    offset = 0
    while answers[-1]["kind"] == "more":
        part = data[offset : offset + part_bytes]
        last = offset + len(part) >= len(data)
        message = {"kind": "part", "turn": 1, "offset": offset, "last": last}
        upload._take(upload, message, [memoryview(part)])
        offset += len(part)
    return answers[-1]["text"]


def uploads_of(form):
    """The form's file pickers in sight, by label."""
    found, waiting = {}, [form]
    while waiting:
        widget = waiting.pop()
        if hasattr(widget, "part_bytes") and widget.layout.display != "none":
            found[widget.label] = widget
        waiting += getattr(widget, "children", ())
    return found


def test_a_text_comes_by_upload(form, tmp_path):
    made = form()
    told = send(uploads_of(made)["A text from a file"], "Café — bon.".encode("cp1252"), "t.txt")
    assert made.text.value == "Café — bon."
    assert "in the field above" in told
    assert list((tmp_path / "uploads").iterdir()) == []


def test_a_lexicon_comes_by_upload(form, tmp_path):
    """It stays with the form's uploads; what is none is told, and removed."""
    made = form(text="Siobhan came.")
    made.sheet._fold.value = True
    upload = uploads_of(made)["A lexicon from a file"]
    told = send(upload, b"Siobhan: Shivawn\nNiamh: Neev\n", "names.yaml")
    assert told == "names.yaml is ready: 2 words"
    path = tmp_path / "uploads" / "names.yaml"
    assert made.params.lexicon == (str(path),)
    send(upload, b"St: Saint", "names.yaml")
    assert [Path(name).name for name in made.params.lexicon] == ["names.yaml", "names-2.yaml"]
    press_speak(made)
    (take,) = made.takes.all
    assert take.speech.record.params["lexicon"] == list(made.params.lexicon)
    again = form()
    again.yaml.text.value = made.yaml._current()
    again.yaml.load()
    assert again.params.lexicon == made.params.lexicon
    assert "must hold 'name: value' lines" in send(upload, b"- a", "list.yaml")
    assert {file.name for file in path.parent.iterdir()} == {"names.yaml", "names-2.yaml"}


def test_a_long_text_stays_a_file(form):
    made = form()
    told = send(
        uploads_of(made)["A text from a file"], b"So it is. " * 20_000, "b.md", part_bytes=10**5
    )
    assert "is kept" in told
    assert made.text.value == ""
    assert made.params.text_file.endswith("b.md")
    send(uploads_of(made)["A text from a file"], b"<p>Short.</p>", "c.html")
    assert made.params.text_file.endswith("c.html")  # its chapters are known there


def test_a_voice_comes_by_upload(form, tmp_path):
    """It is found by its name from then on, and a second of that name overwrites nothing."""
    made = form(engine="chatterbox")
    picker = uploads_of(made)["A voice from a recording"]
    told = send(picker, ROOT / TARGET, "../../An na.flac", part_bytes=200_000)
    assert "voice 'An na' is ready, 11.2 s" in told
    assert made.params.voice == "An na"
    assert (tmp_path / "voices" / "An na.flac").read_bytes() == (ROOT / TARGET).read_bytes()
    assert "An na-2" in send(picker, ROOT / TARGET, "An na.flac", part_bytes=200_000)


def test_a_wav_of_open_length_comes_by_upload(form, tmp_path):
    """As ffmpeg, and our own service, stream it: its length is what the file holds."""
    signal, rate = soundfile.read(ROOT / TARGET)
    soundfile.write(tmp_path / "whole.wav", signal[: 4 * rate], rate)
    data = bytearray((tmp_path / "whole.wav").read_bytes())
    data[4:8] = data[40:44] = bytes(4)
    picker = uploads_of(form(engine="chatterbox"))["A voice from a recording"]
    assert "voice 'open' is ready, 4.0 s" in send(picker, bytes(data), "open.wav", part_bytes=10**6)


@pytest.mark.parametrize(
    ("data", "name", "told"),
    [
        (b"this is no audio" * 100, "x.wav", "x.wav"),
        (b"text", "x.txt", "is no recording"),
        (b"\0\0\0\x20ftypM4A \0\0\2\0", "x.m4a", "cannot read recording"),
        (b"", "x.wav", "is empty"),
    ],
)
def test_a_bad_upload_is_a_sentence_and_leaves_nothing(form, tmp_path, data, name, told):
    made = form(engine="chatterbox")
    assert told in send(uploads_of(made)["A voice from a recording"], data, name)
    assert made.params.voice == ""
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_voice_that_cannot_be_kept_is_a_sentence(form, tmp_path):
    """The place for voices is a file."""
    (tmp_path / "taken").write_text("")
    made = form(engine="chatterbox", voices_dir=str(tmp_path / "taken"))
    told = send(
        uploads_of(made)["A voice from a recording"], ROOT / TARGET, "a.flac", part_bytes=10**6
    )
    assert "cannot write" in told
    assert list((tmp_path / "uploads").iterdir()) == []


def test_a_voice_is_chosen_from_what_the_engine_has(form):
    """hibari's own with their downloads; recordings, and the picker of one, where it clones."""
    made = form()
    voice, engine = (made.sheet.controls[name] for name in ("voice", "engine"))
    labels = dict(reversed(pair) for pair in voice.inputs[-1].options)
    assert labels[""] == "the engine's own"
    assert labels["heart"] == "heart, American female"
    assert labels["emma"] in ("emma, British female, a download of 8 MB", "emma, British female")
    assert "A voice from a recording" not in uploads_of(made)
    engine.value = "chatterbox"
    picker = uploads_of(made)["A voice from a recording"]
    send(picker, ROOT / TARGET, "a.flac", part_bytes=10**6)
    assert made.params.voice == "a"
    assert dict(voice.inputs[-1].options)["a, a recording"] == "a"


def test_a_voice_is_heard_and_made_once(form, tmp_path, monkeypatch):
    """While it is made the button says so; what a voice needs is told, and an error is too."""
    made = form()
    told, begin = [], made._progress.begin
    monkeypatch.setattr(
        made._progress, "begin", lambda text: (told.append((text, hear.description)), begin(text))
    )
    hear = made.sample.button
    hear.click()
    assert made.wait(600)
    assert problem(made) == ""
    assert told == [("a sentence in the voice default is made once …", "Making it …")]
    assert hear.description == "▶ Hear the voice"
    assert " autoplay" in made.sample.player.value
    (sample,) = (tmp_path / ".voices" / "samples").glob("hibari-*/speech.mp3")
    first = sample.stat().st_mtime_ns
    hear.click()
    assert made.wait(600)
    assert (sample.stat().st_mtime_ns, len(told)) == (first, 1)
    assert made.takes.all == ()  # it is no take of the form
    made.sheet.controls["engine"].value = "chatterbox"
    made.sheet.controls["voice"].value = "nobody"
    made.sheet.controls["voices_dir"].value = str(tmp_path / "none")
    hear.click()
    assert made.wait(600)
    assert "nobody" in problem(made)
    assert hear.description == "▶ Hear the voice"
    assert not made._go.disabled


def test_a_text_in_another_language_is_told_as_it_is_typed(form):
    made = form(text="Der Wind und die Sonne stritten sich, wer von ihnen nicht der Stärkere ist.")
    cure = "set language: de and engine: chatterbox-multilingual"
    assert cure in made._count.value
    made.sheet.controls["engine"].value = "chatterbox-multilingual"
    assert "set language: de</" in made._count.value
    made.sheet.controls["language"].value = "de"
    assert "seems to be" not in made._count.value


def test_a_language_is_chosen_where_there_are_several(form):
    made = form()
    language = made.sheet.controls["language"]
    assert language.box.layout.display == "none"
    made.sheet.controls["engine"].value = "chatterbox-multilingual"
    assert language.box.layout.display != "none"
    language.value = "de"
    assert made.params.language == "de"


def test_an_earlier_take_is_no_answer_to_what_failed(form):
    """Its player leaves the place of the result; a failed run would seem to be it."""
    made = press_speak(form())
    made.text.value = "你好"
    press_speak(made)
    assert made._result.outputs == ()
    assert problem(made)


def test_a_cell_fills_the_forms_player(form, capsys):
    """`render` makes the plan's run in the cell's thread, in the plan's own folder."""
    made = form()
    speech = made.render(plan_speech(made.params))
    assert speech.folder.name == made.params.resolved_run_name()
    assert " autoplay" in str(made._result.outputs)
    assert [take.speech for take in made.takes.all] == [speech]
    made.render(plan_speech(made.params), player=False)
    assert "<audio" in str(made._result.outputs)
    assert " autoplay" not in str(made._result.outputs)


def test_a_form_gives_a_books_parameters_back(form):
    """The cells below it take what stands in it."""
    book = str(ROOT / "params" / "books" / "fables.epub")
    given = {"text": "", "text_file": book, "formats": ("m4b",), "master": "acx", "chapters": "3-4"}
    made = form(**given)
    assert {name: getattr(made.params, name) for name in given} == given


def test_a_silent_or_short_voice_is_refused(form, tmp_path):
    path = tmp_path / "short.wav"
    soundfile.write(path, [0.1, -0.1] * 4000, 16_000)
    made = form(engine="chatterbox")
    told = send(uploads_of(made)["A voice from a recording"], path, "short.wav")
    assert "0.50 s long; at least 3 s are needed" in told
    assert not (tmp_path / "voices").exists()


def test_an_upload_too_large_is_refused_before_it_comes(form):
    """Here by the kernel; the browser has refused it before."""
    upload = uploads_of(form(engine="chatterbox"))["A voice from a recording"]
    answers = []
    upload.send = lambda content, buffers=None: answers.append(content)
    upload._take(upload, {"kind": "begin", "turn": 1, "name": "a.wav", "size": 10**9}, [])
    assert "a.wav has 1,000 MB; up to 500 MB" in answers[-1]["text"]


def test_parts_out_of_order_are_refused(form, tmp_path):
    upload = uploads_of(form(engine="chatterbox"))["A voice from a recording"]
    answers = []
    upload.send = lambda content, buffers=None: answers.append(content)
    upload._take(upload, {"kind": "begin", "turn": 1, "name": "a.wav", "size": 8}, [])
    late = {"kind": "part", "turn": 1, "offset": 4, "last": True}
    upload._take(upload, late, [b"abcd"])
    assert "did not come in order" in answers[-1]["text"]
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.wav", "a.wav"),
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\a b.wav", "a b.wav"),
        (".hidden", "upload.hidden"),
        ("a;rm -rf $HOME.wav", "a-rm -rf -HOME.wav"),
        ("", "upload"),
        ("ü" * 300 + ".flac", "ü" * 90 + ".flac"),
        ("録音" * 45 + ".wav", "録音" * 30 + ".wav"),
    ],
)
def test_names_of_uploads_lead_nowhere_else(name, safe):
    assert safe_name(name) == safe


def test_a_conversion_by_form(tmp_path):
    """Source and voice by upload; the same samples as a headless run, windows and all."""
    params = ConvertParams(source="-", engine="world", outputs_dir=str(tmp_path), window_s=5.0)
    made = convert_form(params)
    pickers = uploads_of(made)
    told = send(pickers["The recording to convert"], ROOT / TARGET, "mine.flac", part_bytes=10**6)
    assert "mine.flac is ready, 11.2 s" in told
    reading = ROOT / "params/recordings/reading.flac"
    assert "is ready" in send(pickers["The voice it takes on"], reading, "b.flac", part_bytes=10**6)
    assert made.params.target == "b"
    press_speak(made)
    (take,) = made.takes.all
    assert len(take.speech.record.windows) == 3
    assert problem(made) == ""


def test_chatterbox_speaks_by_form(form, tiny, own_models):
    """With a checkpoint of random weights: an uploaded voice, a slider, another precision."""
    made = form(engine="chatterbox", checkpoint=str(tiny()), device="cpu", text="Hum. Hum.")
    picker = uploads_of(made)["A voice from a recording"]
    send(picker, ROOT / TARGET, "anna.flac", part_bytes=10**6)
    made.sheet.controls["exaggeration"].inputs[-1].value = 0.7  # moving it sets it
    press_speak(made, timeout_s=600)
    assert problem(made) == ""
    record = made.takes.all[0].speech.record
    assert record.engine.name == "chatterbox"
    assert (record.params["exaggeration"], record.params["voice"]) == (0.7, "anna")
    made.sheet.controls["precision"].value = "fast"
    press_speak(made, timeout_s=600)
    assert problem(made) == ""
    assert made.takes.all[1].speech.record.engine.precision == "fast"


def test_a_worker_does_one_thing_at_a_time():
    worker, gate = Worker(), threading.Event()
    assert worker.start(lambda cancelled: gate.wait(600))
    assert not worker.start(lambda cancelled: None)
    gate.set()
    assert worker.wait(600)
    asked = []
    assert worker.start(lambda cancelled: [time.sleep(0.01) for _ in iter(cancelled, True)])
    worker.cancel()
    assert worker.wait(600)
    assert worker.start(lambda cancelled: asked.append(cancelled()))
    assert worker.wait(600)
    assert asked == [False]  # the next work is not stopped by what stopped the last


def test_headless_it_is_a_line_and_shows_the_player(tmp_path, capsys):
    """No widget, nothing to click, nothing that waits."""
    params = SpeakParams(text="Hello.", outputs_dir=str(tmp_path), interactive=False)
    form = speak_form(params)
    assert repr(form).count("\n") == 0
    assert params.resolved_run_name() in repr(form)
    plan = plan_speech(params)
    speech = form.render(plan)
    assert speech.record.status == "ok"
    assert "HTML" in capsys.readouterr().out
    form.render(plan, player=False)
    assert "HTML" not in capsys.readouterr().out


def test_nothing_of_a_form_is_loaded_in_a_headless_run():
    code = (
        "import sys, chatter_nb as cn; from chatter_nb import forms; "
        "forms.speak_form(cn.SpeakParams(text='a', interactive=False)); "
        "print('anywidget' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
