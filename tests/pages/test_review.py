"""The review of a run, in a real browser: its lines are heard, marked and edited by keys alone."""

import json
import shutil
from pathlib import Path

import pytest
from browser import axe_violations, browser_page
from fakes import SpoilingEngine, speaking_with

from chatter_nb.base.errors import InputError
from chatter_nb.engines.hibari import HibariEngine
from chatter_nb.pages import review
from chatter_nb.pages.review import again, line_audio, review_data, write_review
from chatter_nb.pages.takes import TAKES
from chatter_nb.params.runs import SpeakParams
from chatter_nb.runs.edits import edit_of, load_edits, save_edits
from chatter_nb.runs.revise import apply_edits, revise
from chatter_nb.runs.speak import generate_tts, plan_speech
from chatter_nb.runs.speech import load_speech

RATE_HZ = 24_000
LINES = (
    "Three grey geese crossed the frozen pond without a sound.",
    "The baker opened her little shop at seven in the morning.",
    "The rain fell on the roof all night, and the garden stood under water in the morning.",
)
SCRIPT = "<script>document.title = 'taken'</script></script><!-- <b>bold</b> &amp; "
HOSTILE = f"{SCRIPT} \u202eright\u202c שלום 🐢 "
LISTEN = """
  window.plays = [];
  const play = HTMLMediaElement.prototype.play;
  HTMLMediaElement.prototype.play = function () {
    window.plays.push([this.currentSrc.slice(0, 14), this.currentTime]);
    this.playbackRate = window.rate ?? 1;
    return play.call(this);
  };
"""


def silenced(audio, words):
    """Without its second to fourth words."""
    audio = audio.copy()
    audio[round(words[1].start_s * RATE_HZ) : round(words[3].end_s * RATE_HZ)] = 0
    return audio


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three lines; the second is in doubt after two takes. Returns the run's folder."""
    folder = tmp_path_factory.mktemp("runs")
    values = {"outputs_dir": str(folder), "run_name": "run", "engine": "hibari"}
    values |= {"text": "\n\n".join(LINES), "verify": "fast", "verify_workers": 0, "tries": 2}
    params = SpeakParams.create(values)
    with speaking_with(SpoilingEngine(HibariEngine())) as engine:
        plan = plan_speech(params)
        for take in (0, 1):
            seed = plan.identities.take(plan.chunks[1], take).seed
            engine.spoilers[seed] = silenced
        return generate_tts(params).folder


@pytest.fixture
def speech(made, tmp_path):
    """The same run, to edit."""
    shutil.copytree(made.parent, tmp_path / "runs", dirs_exist_ok=True)
    return load_speech(tmp_path / "runs" / "run")


@pytest.fixture
def page(speech):
    """The review's page, open in a browser that lists what is played."""
    with browser_page() as page:
        page.add_init_script(LISTEN)
        page.goto(write_review(speech).as_uri())
        yield page


def texts(page) -> list[str]:
    return [text.strip() for text in page.locator(".lines .words").all_text_contents()]


def said(page) -> str:
    return page.get_by_role("status").inner_text()


def press(page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def downloaded(page) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name="Download review.json").click()
    return Path(download.value.path())


def test_lines_in_doubt_come_first_with_their_reasons(page, speech):
    """The order of the text is one choice away; so is the list of lines in doubt alone."""
    assert page.locator("h1").inner_text() == "1 of 3 lines is in doubt"
    assert texts(page) == [LINES[1], LINES[0], LINES[2]]
    assert "is not in the audio" in page.locator(".findings").inner_text()
    page.get_by_label("Order").select_option("text")
    assert texts(page) == list(LINES)
    page.get_by_label("Show").select_option("in doubt (1)")
    assert texts(page) == [LINES[1]]


def test_keys_alone_edit_words_flag_and_note(page, speech):
    """What the page then offers is a file of edits that belongs to the run's lines."""
    press(page, "e", "Control+a")
    page.keyboard.type("Say this instead.")
    press(page, "Enter", "f", "j", "n")
    page.keyboard.type("too slow")
    press(page, "Enter")
    assert said(page) == "Line 0: the note is written, kept in this browser."
    edits = load_edits(downloaded(page)).edits
    places = [edit_of(speech.record.chunks[at]).place for at in (0, 1)]
    assert [edit.place for edit in edits] == places
    assert [(e.words, e.flag, e.note) for e in edits] == [
        (None, False, "too slow"),
        ("Say this instead.", True, ""),
    ]


def test_what_the_page_offers_is_applied_by_revise(page, speech):
    """Typed words and a take that was kept: the run's files then hold them."""
    press(page, "t", "c", "j", "e", "Control+a")
    page.keyboard.type("Say this instead.")
    press(page, "Enter")
    revised = revise(speech.folder, downloaded(page))
    take, text = revised.record.chunks[1].take, revised.record.chunks[0].text
    assert (take, text.strip()) == (1 - speech.record.chunks[1].take, "Say this instead.")
    page.goto(write_review(revised).as_uri())
    assert texts(page)[-1] == LINES[2]
    assert "words edited" in page.locator(".mark").all_inner_texts()


def test_escape_leaves_the_words_as_they_were(page):
    press(page, "e")
    page.keyboard.type("no, no ")
    press(page, "Escape", "j")
    assert load_edits(downloaded(page)).edits == ()


def test_a_reload_keeps_the_edits_in_the_browser(page):
    press(page, "f")
    assert said(page) == "Line 1: flagged, kept in this browser."
    page.reload()
    assert page.locator(".open .mark").inner_text() == "⚑ flagged"
    press(page, "f")
    page.reload()
    assert page.locator(".mark").count() == 0


def test_another_take_is_heard_at_the_same_place(page):
    """While it is silent, and while it plays."""
    place = page.get_by_role("slider")
    place.focus()
    press(page, "ArrowRight", "ArrowRight", "t")
    assert place.get_attribute("aria-valuenow") == "1.0"
    page.evaluate("window.rate = 0.1")  # a busy machine is in time for what still plays
    press(page, " ")
    page.wait_for_function("() => plays.length === 1")
    press(page, "t")
    page.wait_for_function("() => plays.length === 2")
    (first, at_s), (second, later_s) = page.evaluate("plays")
    assert (first, second) == ("data:audio/ogg", "data:audio/wav")
    assert at_s == pytest.approx(1, abs=0.02)
    start_s = lines_start_s(page)
    assert at_s - 0.02 <= later_s - start_s < at_s + 2


def lines_start_s(page) -> float:
    return page.evaluate("document.querySelector('.open .line').line.start_s")


def test_two_seconds_before_a_line_the_file_is_heard_then_the_take(page):
    press(page, "t", "b")
    page.wait_for_function("() => plays.length === 2")
    (first, at_s), (second, take_s) = page.evaluate("plays")
    assert (first, second) == ("data:audio/wav", "data:audio/ogg")
    assert at_s == pytest.approx(lines_start_s(page) - 2, abs=0.02)
    assert take_s == 0


def test_a_take_is_kept_and_let_go(page):
    press(page, "t", "c")
    take = page.evaluate("document.querySelector('.open .line').line.takes[1].take")
    assert load_edits(downloaded(page)).edits[0].take == take
    press(page, "c")
    assert load_edits(downloaded(page)).edits[0].is_empty


def test_takes_in_doubt_lie_beside_as_opus_and_no_others(speech):
    """Those that are there stay as they are; those of no line in doubt are removed."""
    write_review(speech)
    chunk = speech.record.chunks[1]
    others = {take.key for take in chunk.takes} - {chunk.key}
    written = {path: path.stat().st_mtime_ns for path in (speech.folder / TAKES).iterdir()}
    assert {path.name for path in written} == {f"{key}.opus" for key in others}
    (speech.folder / TAKES / "old.opus").write_bytes(b"")
    write_review(speech)
    assert written == {path: path.stat().st_mtime_ns for path in written}
    assert len(list((speech.folder / TAKES).iterdir())) == len(written)


def test_a_take_that_was_made_is_heard_again_until_it_is_in_the_file(speech):
    """With other words too, in the page and in the widget; a note that is damaged hurts nobody."""
    edit = edit_of(speech.record.chunks[0])
    same, other = again(speech, edit), again(speech, edit.model_copy(update={"words": "Others."}))
    (speech.folder / TAKES / "damaged.json").write_text("{")
    first, second = review_data(speech)["lines"][:2]
    assert {(take["key"], take["words"]) for take in first["takes"][1:]} == {
        (same["key"], None),
        (other["key"], "Others."),
    }
    assert len(second["takes"]) == len(speech.record.chunks[1].takes)
    for made in (same, other):
        assert line_audio(speech, edit, made["key"])["url"].startswith("data:audio/ogg")
    assert str(same["seconds"]) in write_review(speech).read_text()
    save_edits(speech.folder, [edit.model_copy(update={"take": same["take"]})])
    applied = apply_edits(speech)
    keys = [take["key"] for take in review_data(applied)["lines"][0]["takes"]]
    assert sorted(keys) == sorted({*keys, same["key"], other["key"]})


def test_large_audio_lies_beside_the_page_and_plays(speech, monkeypatch):
    monkeypatch.setattr(review, "EMBED_LIMIT_BYTES", 1000)
    path = write_review(speech)
    assert path.stat().st_size < 100_000
    with browser_page() as page:
        page.goto(path.as_uri())
        for _ in range(2):  # the file, and another take
            press(page, " ")
            page.wait_for_function(
                "() => Number(document.querySelector('.wave').ariaValueNow) > 0.2"
            )
            press(page, "Escape", "t")


def test_what_is_marked_is_in_the_page_that_is_written_next(speech):
    """An edit whose text is gone is told, and is no error."""
    edit = edit_of(speech.record.chunks[0]).model_copy(update={"words": "New words.", "take": 2})
    save_edits(speech.folder, [edit, edit.model_copy(update={"text_sha256": "0" * 16, "start": 7})])
    data = review_data(speech)
    assert [line["edit"]["words"] for line in data["lines"]] == ["New words.", None, None]
    assert data["notes"] == ["1 edit not used, as the text there is gone: see edits.json"]


def test_the_words_of_a_line_stand_at_their_times(speech):
    """Also after an emoji, of which a browser counts two; a click on a word plays from there."""
    path, name = speech.folder / "run.json", "speech.words.json"
    record, times = json.loads(path.read_text()), json.loads((speech.folder / name).read_text())
    record["chunks"][0]["text"] = f"🐢 {LINES[0]} "
    for word in (word for word in times if word["chunk"] == 0):
        word |= {"text_start": word["text_start"] + 2, "text_end": word["text_end"] + 2}
    path.write_text(json.dumps(record))
    (speech.folder / name).write_text(json.dumps(times))
    with browser_page() as page:
        page.add_init_script(LISTEN)
        page.goto(write_review(load_speech(speech.folder)).as_uri())
        press(page, "j")
        assert page.locator(".open .word").all_text_contents() == LINES[0].rstrip(".").split()
        assert page.locator(".labels span").all_text_contents()[:2] == ["Three", "grey"]
        page.locator(".open .word", has_text="frozen").click()
        page.wait_for_function("() => plays.length === 1")
        ((_, at_s),) = page.evaluate("plays")
        start_s = next(word["start_s"] for word in times if word["word"] == "frozen")
        assert at_s == pytest.approx(start_s, abs=0.02)
        press(page, "Escape")
        page.get_by_role("slider").focus()
        press(page, "Home", "ArrowRight")
        at_half_s = [w["word"] for w in times if w["start_s"] <= 0.5 < w["end_s"]]
        assert page.locator(".lit").all_text_contents() == at_half_s


def test_a_line_tells_what_was_said_for_it(tmp_path):
    """A number of many words is one word of it; a line said as it is written tells nothing."""
    values = {"text": "It cost $1,250 then.\n\nIt rained.", "outputs_dir": str(tmp_path)}
    made = generate_tts(SpeakParams.create(values | {"engine": "hibari", "run_name": "run"}))
    with browser_page() as page:
        page.goto(write_review(made).as_uri())
        notes = page.locator(".lines .note").all_text_contents()
        assert notes == ["said: It cost one thousand two hundred fifty dollars then."]
        words = page.locator(".open .word").all_text_contents()
        assert words == ["It", "cost", "$1,250", "then"]
        assert page.locator(".open .words").text_content() == "It cost $1,250 then. "


def test_hostile_texts_are_only_text(speech):
    """In a text, in a reason, in what was heard, in a note: no tag, no script, no broken page."""
    record = json.loads((speech.folder / "run.json").read_text())
    for chunk in record["chunks"]:
        chunk["text"] = HOSTILE
        for finding in [finding for take in chunk["takes"] for finding in take["findings"]]:
            finding |= {"reason": HOSTILE, "heard": HOSTILE, "expected": HOSTILE}
    record["run_name"] = HOSTILE
    (speech.folder / "run.json").write_text(json.dumps(record))
    hostile = load_speech(speech.folder)
    note = edit_of(hostile.record.chunks[0]).model_copy(update={"note": HOSTILE})
    save_edits(speech.folder, [note])
    with browser_page() as page:
        page.goto(write_review(hostile).as_uri())
        title = page.title()
        page.get_by_label("Search").fill("taken")
        assert texts(page) == [HOSTILE.strip()] * 3
        assert HOSTILE in page.locator(".note").text_content()
        assert page.locator("main script, main b").count() == 0
        assert page.title() == title != "taken"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_no_rule_of_accessibility_is_broken_and_nothing_reaches_over_the_edge(
    speech, width, scheme
):
    path = write_review(speech)
    with browser_page(width=width, color_scheme=scheme) as page:
        page.goto(path.as_uri())
        press(page, "f", "t", "c", "n")
        page.keyboard.type("a note")
        press(page, "Enter")
        assert axe_violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_part_of_the_open_line_is_reached_by_tab(page):
    names, seen = ["Play", "From 2 s before", "Next take", "Keep this take", "Flag"], set()
    page.locator(".open .line").focus()
    for _ in range(14):
        press(page, "Tab")
        seen.add(
            page.evaluate("document.activeElement.textContent || document.activeElement.tagName")
        )
    assert {*names, "TEXTAREA", "INPUT"} <= seen


@pytest.mark.slow
def test_five_thousand_lines_open_in_little_memory(speech, tmp_path):
    """All are there; only those on the screen are laid out."""
    record = json.loads((speech.folder / "run.json").read_text())
    (output,), base = record["outputs"], record["chunks"][0]
    chunks, start = [], 0
    for index in range(5000):
        text = f"{index} {' '.join(LINES)} "
        place = {"start": start, "end": start + len(text), "start_s": index, "end_s": index + 1}
        chunks.append(base | place | {"index": index, "key": f"{index:032x}", "text": text})
        start += len(text)
    record |= {"chunks": chunks, "outputs": [output | {"chunks": 5000}]}
    (speech.folder / "run.json").write_text(json.dumps(record))
    with browser_page() as page:
        page.goto(write_review(load_speech(speech.folder)).as_uri())
        assert page.locator(".lines > li").count() == 5000
        session = page.context.new_cdp_session(page)
        session.send("HeapProfiler.collectGarbage")
        assert session.send("Runtime.getHeapUsage")["usedSize"] < 100e6
        press(page, "j", "f")
        assert said(page) == "Line 1: flagged, kept in this browser."


def test_a_conversion_has_no_lines(speech):
    record = speech.record.model_copy(update={"kind": "convert"})
    with pytest.raises(InputError, match="is a conversion: only speech has lines to review"):
        write_review(type(speech)(speech.folder, record))


def test_a_run_of_the_command_line_that_was_checked_has_its_review(cli, tmp_path):
    """So has any run by `chatter-nb review`, which prints where."""
    out = ("-p", f"outputs_dir={tmp_path}", "-p", "run_name=run", "-p", "engine=hibari")
    cli("speak", LINES[0], "-p", "verify=fast", *out, check=0)
    page = tmp_path / "run" / "review.html"
    page.unlink()
    assert cli("review", tmp_path / "run", check=0).stdout.strip().endswith(page.name)
    assert page.is_file()
