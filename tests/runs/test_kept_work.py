"""Work that was kept stays found: keys of chunks, a store and a record made at commit bca1862.

`data/kept_work/keys.json` holds the keys that `plan_speech` gave there, `tiny.yaml` is a run with
its store. A change here makes everybody's kept chunks anew: only a rule that concerns these very
texts may cause one.
"""

import json
import shutil
from dataclasses import replace
from importlib.metadata import version

import pytest
from conftest import ROOT

from chatter_nb.audio.reading import read_audio
from chatter_nb.engines.hibari import HibariEngine
from chatter_nb.engines.registry import TTS_ENGINES
from chatter_nb.params.runs import SpeakParams, read_params
from chatter_nb.runs.folder import RunFolder
from chatter_nb.runs.speak import generate_tts
from chatter_nb.runs.speak_plan import plan_speech

KEPT = ROOT / "tests" / "data" / "kept_work"
SETS = json.loads((KEPT / "keys.json").read_text(encoding="utf-8"))

pytestmark = pytest.mark.skipif(
    version("hibari-tts") != "0.2.1", reason="another hibari has other samples, and so other keys"
)


def _name(planned: dict) -> str:
    values = planned.get("values", {})
    return planned.get("file") or ",".join(f"{key}={str(values[key])[:9]}" for key in values)


def in_words(planned):
    """The rules that put some of a chunk in words."""
    return {change.rule for change in planned.chunk.changes} - {"replacements"}


@pytest.mark.parametrize("normalize", ["off", "auto"])
@pytest.mark.parametrize("planned", SETS, ids=map(_name, SETS))
def test_chunks_are_known_by_the_keys_that_they_had(planned, normalize, tmp_path, monkeypatch):
    """Files, languages, pauses, replacements. Planned only: hibari itself speaks English alone.

    What is put in words has other keys, and nothing else has.
    """
    spoken = {one["values"]["language"] for one in SETS if "language" in one.get("values", {})}
    languages = ("en", *spoken - {"en"})
    monkeypatch.setattr(HibariEngine, "languages", languages)
    monkeypatch.setitem(TTS_ENGINES, "hibari", replace(TTS_ENGINES["hibari"], languages=languages))
    monkeypatch.setattr(HibariEngine, "check_text", lambda self, text, language: [])
    here = {"engine": "hibari", "outputs_dir": str(tmp_path), "normalize": normalize}
    if "file" in planned:
        params = read_params(planned["file"], here)
    else:
        params = SpeakParams.create(planned["values"] | here)
    chunks = plan_speech(params).chunks
    anew = {n for n, key in enumerate(planned["keys"]) if chunks[n].key != key}
    assert len(chunks) == len(planned["keys"])
    assert anew == {n for n, chunk in enumerate(chunks) if in_words(chunk)}
    assert normalize == "auto" or not anew


def test_a_store_of_then_is_used_and_its_run_is_proved(tmp_path):
    shutil.copytree(KEPT / "outputs", tmp_path, dirs_exist_ok=True)
    folder = RunFolder(tmp_path / "tiny")
    assert folder.is_proved()
    before, rate = read_audio(folder.path / "speech.flac")
    speech = generate_tts(read_params(KEPT / "tiny.yaml", {"outputs_dir": str(tmp_path)}))
    assert "0 of 2 chunks made anew" in str(speech)
    assert speech.record.warnings == ()
    after, _ = speech.read()
    assert (rate, before.tobytes()) == (24_000, after.tobytes())
    assert speech.record.word_files == ()  # chunks of then have no times, and are not made again
    assert sorted(path.name for path in folder.path.iterdir()) == ["run.json", "speech.flac"]
