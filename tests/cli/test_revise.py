"""`chatter-nb revise RUN review.json`: the whole way of a review, and its refusals."""

import json

import pytest

from chatter_nb.base.errors import InputError
from chatter_nb.engines import registry
from chatter_nb.pages.review import write_review
from chatter_nb.pages.run_page import write_page
from chatter_nb.runs.edits import EDITS, Edits, edit_of
from chatter_nb.runs.folder import RECORD
from chatter_nb.runs.revise import revise


@pytest.fixture
def review(speak, tmp_path):
    """A finished run and a review of it, which edits one line and flags another."""
    speech = speak(text="The first line.\n\nThe second line.\n\nThe third line.")
    first, second, _ = map(edit_of, speech.record.chunks)
    edits = (
        first.model_copy(update={"words": "Other words."}),
        second.model_copy(update={"flag": True, "note": "zu schnell, größer"}),
    )
    path = tmp_path / "review.json"
    path.write_text(Edits(edits=edits).model_dump_json(by_alias=True))
    return speech, path


def test_a_review_is_applied_and_its_lists_are_written(cli, review, tmp_path):
    """One line is made anew; the flagged one is in both lists."""
    speech, path = review
    table, labels = tmp_path / "pickups.csv", tmp_path / "labels.txt"
    pages = [write_page(speech.folder), write_review(speech)]
    assert all("Other words." not in page.read_text(encoding="utf-8") for page in pages)
    done = cli("revise", speech.folder, path, "--pickups", table, "--labels", labels, check=0)
    assert "1 of 3 chunks made anew" in done.stdout
    assert f"{table}: 1 line to look at" in done.stderr
    assert (speech.folder / EDITS).exists()
    assert all("Other words." in page.read_text(encoding="utf-8") for page in pages)
    record = json.loads((speech.folder / RECORD).read_text())
    assert record["chunks"][0]["text"] == "Other words. "
    assert "zu schnell, größer" in table.read_text(encoding="utf-8-sig")
    start, end, label = labels.read_text(encoding="utf-8").strip().split("\t")
    assert float(start) < float(end)
    assert label == "zu schnell, größer: The second line."
    again = cli("revise", speech.folder, path, "--json", check=0)
    assert [c["cached"] for c in json.loads(again.stdout)["chunks"]] == [True] * 3


def test_what_is_no_review_or_no_run_is_refused(cli, review, tmp_path):
    speech, path = review
    assert "give a review" in cli("revise", speech.folder, check=2).stderr
    wrong = cli("revise", speech.folder, speech.folder / RECORD, check=2).stderr
    assert "is no file of edits" in wrong
    assert "document, start, end, text_sha256, words, take, flag, note" in wrong
    with pytest.raises(InputError, match="no run: there is no such folder"):
        revise(tmp_path / "none", path)
    record = json.loads((speech.folder / RECORD).read_text())
    (speech.folder / RECORD).write_text(json.dumps(record | {"kind": "convert"}))
    with pytest.raises(InputError, match="holds a conversion"):
        revise(speech.folder, path)


def test_a_run_of_an_engine_that_is_not_here_is_refused_with_the_cure(review, monkeypatch):
    speech, path = review
    record = json.loads((speech.folder / RECORD).read_text())
    record["engine"]["name"] = "chatterbox"
    (speech.folder / RECORD).write_text(json.dumps(record))
    monkeypatch.setattr(registry.EngineEntry, "missing", lambda self: ["chatterbox"])
    with pytest.raises(InputError, match=r"chatterbox.*pip install"):
        revise(speech.folder, path)
