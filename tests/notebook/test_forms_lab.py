"""The forms under a person's hands: a real JupyterLab, a real Chromium, real sound."""

import json
import re
import shutil
import time
from contextlib import ExitStack

import nbformat
import pytest
from browser import needs_browser
from conftest import ROOT

from chatter_nb.bench.suites import lab as labs

TARGET = ROOT / "params" / "recordings" / "target.flac"
FORM = """import chatter_nb as cn
from chatter_nb.notebook import forms
params = cn.SpeakParams(text="Hello there.", engine="hibari", outputs_dir="outputs", **{values})
form = forms.speak_form(params)
form"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    needs_browser()
    with labs.jupyter_lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture
def visit(lab):
    """A notebook, open; and at the end no script of the page has failed."""
    faults = []
    with ExitStack() as opened:

        def visit(name, *, width=1280, color_scheme="light"):
            page = opened.enter_context(
                labs.browser_page(width=width, height=1000, color_scheme=color_scheme)
            )
            page.context.set_default_timeout(300_000)  # ms; for an event, however busy
            page.on("pageerror", lambda error: faults.append(str(error)))
            labs.open_notebook(page, lab, name)
            return page

        yield visit
    lab.end_kernels()
    assert faults == []


@pytest.fixture
def shown(lab, visit, request):
    """A notebook with a form, run."""

    def show(*, cells=(), width=1280, color_scheme="light", **values):
        name = f"{request.node.name.partition('[')[0]}.ipynb"
        write_notebook(lab.root / name, [FORM.replace("{values}", repr(values)), *cells])
        page = visit(name, width=width, color_scheme=color_scheme)
        labs.run_all(page)
        speak(page).wait_for()
        button(page, "More settings").click()
        return page

    return show


def write_notebook(path, sources):
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, path)


def button(page, name):
    return page.locator("button.jupyter-button").filter(has_text=re.compile(f"^{name}$"))


def speak(page):
    return button(page, "Speak")


def field(page, label):
    return page.get_by_label(label, exact=True)


def text_area(page):
    return page.get_by_placeholder("the text to speak")


def audio_s(page, *, index=0):
    """The length of a player's audio, as the browser has decoded it."""
    page.wait_for_selector("audio", state="attached", timeout=300_000)
    return page.evaluate(
        """async (index) => {
            const audio = document.querySelectorAll("audio")[index];
            audio.preload = "metadata";
            audio.load();
            for (let wait = 0; wait < 100 && !(audio.duration > 0); wait++)
                await new Promise((go) => setTimeout(go, 50));
            return audio.duration;
        }""",
        index,
    )


def records(lab):
    """Every run below the lab's root, oldest first."""
    paths = sorted(lab.root.glob("outputs/*/run.json"), key=lambda path: path.stat().st_mtime)
    return [json.loads(path.read_text()) for path in paths]


def wait_for_run(page):
    """Until the button is free again."""
    page.wait_for_function(
        """() => [...document.querySelectorAll("button.jupyter-button")]
            .some((one) => one.textContent === "Speak" && !one.disabled)""",
        timeout=300_000,
    )


BATCH = """import chatter_nb as cn
from chatter_nb.notebook import batch_view
params = cn.BatchParams(
    notebook="{root}/notebooks/00_check.ipynb", files=["one.yaml"], outputs_dir="outputs/batch"
)
plan = cn.plan_batch(params, batch_view.planning_bar())
report = cn.run_batch(plan, batch_view.batch_bar(plan), gallery=cn.write_gallery)
batch_view.listen(report)"""


@pytest.mark.slow
def test_the_runs_of_a_batch_are_heard_from_their_files(lab, visit):
    """Linked, not embedded; the bar stands in the cell and leaves no red band."""
    (lab.root / "one.yaml").write_text("text: Hello there.\nengine: hibari\n")
    write_notebook(lab.root / "batch.ipynb", [BATCH.replace("{root}", str(ROOT))])
    page = visit("batch.ipynb")
    labs.run_all(page)
    found_s = audio_s(page)
    record = json.loads((lab.root / "outputs" / "batch" / "one" / "run.json").read_text())
    assert found_s == pytest.approx(record["audio_s"], abs=0.05)
    assert "data:audio" not in page.locator(".jp-OutputArea").last.inner_html()
    bars = page.locator(".jp-OutputArea pre").filter(has_text=re.compile(r"^100%.* 1/1 "))
    assert bars.count() == 1
    assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0


def test_a_text_is_typed_and_spoken(shown, lab):
    """Text, Speak, and an audio player holds as many seconds as the run says."""
    page = shown()
    text_area(page).fill("The north wind blew. The sun came out.")
    page.get_by_text("38 characters, 1 chunk, about 2 s of audio").wait_for()
    speak(page).click()
    found_s = audio_s(page)
    record = records(lab)[-1]
    assert record["params"]["text"] == "The north wind blew. The sun came out."
    assert found_s == pytest.approx(record["audio_s"], abs=0.05)


def test_a_run_is_heard_while_it_is_made(shown, lab):
    """By the browser's clock of sound; and its finished player waits to be asked."""
    page = shown(seed=5, verify="off")
    page.evaluate(
        """() => {
            window.heard_s = 0;
            const start = AudioBufferSourceNode.prototype.start;
            AudioBufferSourceNode.prototype.start = function (when) {
                this.addEventListener("ended", () => (window.heard_s += this.buffer.duration));
                start.call(this, when);
            };
        }"""
    )
    text_area(page).fill("When the clock struck nine, the children ran down the stairs.")
    field(page, "hear it while it is made").select_option("always")
    speak(page).click()
    page.wait_for_function("window.heard_s > 1", timeout=300_000)
    wait_for_run(page)
    record = records(lab)[-1]
    assert record["chunks"][0]["streamed"]
    page.wait_for_function("(all_s) => window.heard_s > 0.8 * all_s", arg=record["audio_s"])
    assert page.evaluate("document.querySelector('audio').paused")


@pytest.mark.slow
def test_a_long_run_grows_on_the_screen_and_the_finished_player_goes_on(shown, lab):
    """What is spoken is lit before the run ends; at its end, one player plays on from there."""
    page = shown(seed=6, verify="off")
    text = " ".join(f"Sentence {n} of many goes on for a while, as they do." for n in range(400))
    text_area(page).fill(text)
    field(page, "hear it while it is made").select_option("always")
    before = len(records(lab))
    speak(page).click()
    lit = page.locator(".chatter-form [aria-current]").first
    lit.wait_for()
    assert lit.inner_text().startswith("Sentence 0 of many")
    assert len(records(lab)) == before
    page.wait_for_function("document.querySelector('audio')?.currentTime > 2", timeout=300_000)
    assert page.evaluate("!document.querySelector('audio').paused")
    assert page.locator(".chatter-form canvas").first.is_hidden()


@pytest.mark.slow
def test_everything_is_reached_by_the_keyboard(shown, lab):
    """From the text by Tab alone: every control in sight, then Speak, pressed with Enter."""
    page = shown(seed=3)

    def tab_until(last):
        text_area(page).click()
        seen = []
        for _ in range(60):
            page.keyboard.press("Tab")
            what = page.evaluate(
                "() => { const e = document.activeElement; return (e.ariaLabel || (e.labels && "
                "e.labels[0] && e.labels[0].textContent) || e.textContent || '').trim() }"
            )
            seen.append(what)
            if what == last:
                break
        return set(seen)

    assert {"voice", "Speak", "Fewer settings", "engine"} <= tab_until("seed")
    text_area(page).click()
    page.keyboard.press("Control+End")
    page.keyboard.type(" And again.")
    tab_until("Speak")
    page.keyboard.press("Enter")
    audio_s(page)
    assert records(lab)[-1]["params"]["text"] == "Hello there. And again."
    tab_until("▶ Hear the voice")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.chatter-line audio')?.currentTime > 0.1")


@pytest.mark.slow
def test_cancel_stops_within_a_chunk(shown, lab):
    """What is finished is kept, the form says so, and Speak goes on from there."""
    text = " ".join(
        f"This is sentence {n} of a long text, and it has a few more words." for n in range(1500)
    )
    page = shown(chunk_chars=80)
    text_area(page).fill(text)
    speak(page).click()
    page.get_by_text(re.compile(r"\d+ of \d+ chunks, \d+ s of audio")).wait_for(timeout=300_000)
    button(page, "Cancel").click()
    page.get_by_text(re.compile(r"stopped after \d+ of \d+ chunks")).wait_for(timeout=300_000)
    wait_for_run(page)
    cancelled = records(lab)[-1]
    assert cancelled["status"] == "cancelled"
    kept = len(list(lab.root.glob("outputs/.chunks/*/*.npy")))
    assert 0 < kept < 1500


@pytest.mark.slow
def test_a_voice_is_uploaded_in_parts_and_a_bad_one_is_a_sentence(shown, lab, tmp_path):
    page = shown()
    field(page, "engine").select_option(label="chatterbox")  # which clones voices
    picker = page.locator('input[type="file"]').nth(1)
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"this is no audio" * 1000)
    picker.set_input_files(bad)
    page.get_by_text(re.compile("bad.wav.*(not|cannot|no )")).wait_for()
    picker.set_input_files(TARGET)
    page.get_by_text("voice 'target' is ready, 11.2 s").wait_for()
    chosen = field(page, "voice").evaluate("e => e.selectedOptions[0].text")
    assert chosen.replace("\xa0", " ") == "target, a recording"
    assert (lab.root / "outputs" / "voices" / "target.flac").read_bytes() == TARGET.read_bytes()


@pytest.mark.slow
def test_an_upload_of_a_gigabyte_is_refused_unread(shown, tmp_path):
    """By the browser, at once, and the kernel hears nothing of it."""
    large = tmp_path / "large.wav"
    with large.open("wb") as file:
        file.truncate(10**9)
    page = shown()
    field(page, "engine").select_option(label="chatterbox")  # which clones voices
    page.locator('input[type="file"]').nth(1).set_input_files(large)
    page.get_by_text("large.wav has 1.0 GB; up to 500.0 MB can be uploaded").wait_for(
        timeout=300_000
    )
    field(page, "engine").select_option(label="hibari")
    speak(page).click()
    audio_s(page)


@pytest.mark.slow
def test_forty_megabytes_arrive_whole(shown, lab, tmp_path):
    """More than Jupyter's server takes in one message."""
    import numpy as np
    import soundfile

    path = tmp_path / "long.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, 24_000 * 420)
    soundfile.write(path, noise, 24_000, subtype="FLOAT")
    assert path.stat().st_size > 40e6
    page = shown()
    field(page, "engine").select_option(label="chatterbox")
    page.locator('input[type="file"]').nth(1).set_input_files(path)
    page.get_by_text("voice 'long' is ready").wait_for(timeout=300_000)
    assert (lab.root / "outputs" / "voices" / "long.wav").read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_yaml_goes_out_and_in(shown, lab):
    """Copy puts it on the clipboard and in sight; edited and loaded, it fills the form."""
    page = shown(seed=5)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button(page, "Copy as YAML").click()
    page.get_by_text("copied", exact=True).wait_for()
    told = page.evaluate("navigator.clipboard.readText()")
    assert told == "text: Hello there.\nengine: hibari\nseed: 5\n"
    area = page.get_by_placeholder("name: value lines")
    assert area.input_value() == told
    area.fill(told.replace("seed: 5", "seed: 6").replace("Hello there.", "Good bye."))
    button(page, "Load this YAML").click()
    page.wait_for_function(
        "() => document.querySelector('textarea').value === 'Good bye.'", timeout=300_000
    )
    speak(page).click()
    audio_s(page)
    assert records(lab)[-1]["params"]["text"] == "Good bye."
    assert records(lab)[-1]["seed"] == 6
    area.fill("sede: 3")
    button(page, "Load this YAML").click()
    page.get_by_text("did you mean 'seed'").wait_for()


@pytest.mark.slow
def test_what_nobody_touched_is_not_set(shown):
    """Drawn by a browser, for any engine: the YAML has what was chosen, to the last digit."""
    page = shown(speed=0.8123, seed=61)
    area = page.get_by_placeholder("name: value lines")

    def told_by(engine):
        field(page, "engine").select_option(label=engine)
        button(page, "Copy as YAML").click()
        page.wait_for_function(
            f"() => [...document.querySelectorAll('textarea')].some("
            f"(one) => one.value.includes('engine: {engine}\\n'))"
        )
        return area.input_value()

    assert told_by("hibari").endswith("speed: 0.8123\nengine: hibari\nseed: 61\n")
    assert told_by("chatterbox").endswith("engine: chatterbox\nseed: 61\n")
    assert told_by("chatterbox-turbo").endswith("engine: chatterbox-turbo\nseed: 61\n")


@pytest.mark.slow
def test_a_click_storm_leaves_one_run_and_a_healthy_form(shown, lab):
    page = shown(seed=21)
    before = len(records(lab))
    speak(page).wait_for()
    page.evaluate(
        """() => { const one = [...document.querySelectorAll("button.jupyter-button")]
            .find((b) => b.textContent === "Speak");
            for (let n = 0; n < 20; n++) one.click(); }"""
    )
    audio_s(page)
    wait_for_run(page)
    assert len(records(lab)) == before + 1
    text_area(page).fill("After the storm.")
    time.sleep(0.4)
    speak(page).click()
    page.get_by_text("Takes, side by side").wait_for()


@pytest.mark.slow
def test_five_megabytes_of_text_leave_the_kernel_well(shown, lab):
    """Its count comes, in about; and a short text is spoken afterwards."""
    page = shown(seed=31)
    text = "The north wind and the sun were disputing which was the stronger. " * 76_000
    assert len(text) > 5e6
    page.evaluate(
        """(text) => { const area = document.querySelector("textarea");
            const set = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value").set;
            set.call(area, text);
            area.dispatchEvent(new Event("input", {bubbles: true}));
            area.dispatchEvent(new Event("change", {bubbles: true})); }""",
        text,
    )
    page.get_by_text(re.compile(r"5,016,000 characters, about [\d]+ chunks")).wait_for(
        timeout=300_000
    )
    text_area(page).fill("Short again.")
    text_area(page).blur()  # so long a text is not sent with every key, but when it is left
    page.get_by_text("12 characters, 1 chunk").wait_for(timeout=300_000)
    speak(page).click()
    audio_s(page)
    assert records(lab)[-1]["params"]["text"] == "Short again."


@pytest.mark.slow
def test_a_tab_that_is_closed_in_mid_run_loses_nothing(shown, lab):
    """The run ends without it; opened again, the notebook's kernel still has it."""
    page = shown(seed=41, cells=["print(2)"])
    text = " ".join(f"Sentence {n} goes on for a while, as they do." for n in range(300))
    text_area(page).fill(text)
    before = len(records(lab))
    speak(page).click()
    page.get_by_text(re.compile(r"\d+ of \d+ chunks")).wait_for(timeout=300_000)
    name = page.url
    context = page.context
    page.close()
    again = context.new_page()
    again.goto(name)
    again.get_by_text("| Idle").wait_for(timeout=300_000)
    for _ in range(3_000):
        if len(records(lab)) > before and records(lab)[-1]["status"] == "ok":
            break
        time.sleep(0.1)
    assert records(lab)[-1]["status"] == "ok"
    again.locator(".jp-Notebook .jp-CodeCell").last.locator(".cm-content").click()
    again.keyboard.press("Control+a")
    # The record is there before the take is: waveform and player are made in between.
    again.keyboard.type("print(form.wait(300), len(form.takes.all))")
    again.keyboard.press("Shift+Enter")
    again.get_by_text("True 1").wait_for(timeout=300_000)


@pytest.mark.slow
def test_run_all_speaks_and_leaves_the_player_on_the_screen(lab, visit):
    """As `make lab` opens it: Run, Run All Cells. The notebook's parameters are a folded line."""
    project = lab.root / "project"
    shutil.copytree(ROOT / "params", project / "params")
    shutil.copytree(ROOT / "notebooks", project / "notebooks")
    page = visit("project/notebooks/01_speak.ipynb", width=1400)
    page.get_by_text("@title Parameters").wait_for()
    assert page.get_by_text("crossfade_ms").count() == 0
    labs.run_all(page)
    page.wait_for_function("document.querySelector('audio')?.currentTime > 0.3", timeout=300_000)
    page.get_by_text("| Idle").wait_for()
    box = page.locator("audio").first.bounding_box()
    assert 0 < box["y"] < page.viewport_size["height"] - box["height"]
    assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    (record,) = [json.loads(path.read_text()) for path in project.glob("outputs/*/run.json")]
    assert record["status"] == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [480, 1280])
def test_nothing_sticks_out_narrow_or_wide(shown, width, color_scheme):
    """No control of the form is wider than the notebook's page."""
    page = shown(width=width, color_scheme=color_scheme, seed=51)
    if width < 1000:
        page.get_by_role("tab", name="File Browser").click()  # as a person would, for room
    speak(page).click()
    audio_s(page)
    outside = page.evaluate(
        """() => { const output = document.querySelector(".jp-OutputArea-child");
            const right = output.getBoundingClientRect().right + 1;
            return [...output.querySelectorAll("input, select, textarea, button, audio, img")]
                .filter((one) => one.offsetParent && one.getBoundingClientRect().right > right)
                .map((one) => one.outerHTML.slice(0, 80)); }"""
    )
    assert outside == []


@pytest.mark.slow
def test_narrow_labels_stand_over_their_inputs(shown):
    """All at the left edge, whatever kind of input follows."""
    page = shown(width=480, seed=52)
    page.get_by_role("tab", name="File Browser").click()
    field(page, "seed").wait_for()
    offsets = page.evaluate(
        """() => [...document.querySelectorAll(".chatter-form .chatter-line")].map((line) => {
            const label = line.querySelector(".widget-label"), text = document.createRange();
            text.selectNodeContents(label);
            const starts = text.getBoundingClientRect();
            return starts.width && starts.left - line.getBoundingClientRect().left;
        })"""
    )
    assert len(offsets) > 15
    assert max(offsets) < 8
