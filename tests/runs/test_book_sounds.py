"""What an EPUB says of its words (`ssml:ph`, linked lexicons), said by the embedded voice."""

from epubs import HEAD, build_epub

from chatter_nb import SpeakParams, plan_speech
from chatter_nb.engines.registry import entry
from chatter_nb.runs.edits import edit_of, save_edits
from chatter_nb.runs.revise import apply_edits, make_line
from chatter_nb.runs.saying import sayings_of
from chatter_nb.runs.speak import generate_tts
from chatter_nb.text.chunking import split_chunks
from chatter_nb.text.files import read_sources
from chatter_nb.text.sounds import with_sounds

PLS = """<lexicon version="1.0" xmlns="http://www.w3.org/2005/01/pronunciation-lexicon"
  alphabet="{alphabet}" xml:lang="en-US">
  <lexeme><grapheme>Tbilisi</grapheme><phoneme>{tbilisi}</phoneme></lexeme>
  <lexeme><grapheme>Mtskheta</grapheme><alias>Mits Keta</alias></lexeme>
  <lexeme><grapheme>nowhere</grapheme><alias>not in the book</alias></lexeme>
</lexicon>"""
LINKS = HEAD.replace(
    "</head>",
    '<link rel="pronunciation" type="application/pls+xml" hreflang="en" href="ipa.pls"/>'
    '<link rel="pronunciation" type="application/pls+xml" hreflang="en" href="gone.pls"/></head>',
)
BODY = (
    '<h1>Georgia</h1><p>Tbilisi\'s <i>bass</i>, a <b ssml:ph="ˈbæs">bass</b> and the\n bass '
    '<b ssml:alphabet="x-sampa" ssml:ph="beIs">bass</b> of Mtskheta.</p>'
    '<p>A <b ssml:ph="kɹ̩x">krch</b>, <b ssml:alphabet="x-own" ssml:ph="q">bass</b>.</p>'
)


def georgia(folder, body=BODY):
    return build_epub(
        folder / "georgia.epub",
        {"a.xhtml": f"{LINKS}<body>{body}</body></html>"},
        [("Georgia", "a.xhtml")],
        members={"OEBPS/ipa.pls": PLS.format(alphabet="x-sampa", tbilisi='t@bI"li:si')},
        more_items='<item id="l" href="ipa.pls" media-type="application/pls+xml"/>',
    )


def plan_of(folder, **values):
    values = {"text_file": str(georgia(folder)), "engine": "hibari", "outputs_dir": str(folder)} | (
        values
    )
    plan = plan_speech(SpeakParams(**values))
    return [planned.chunk.spoken for planned in plan.chunks], " ".join(plan.warnings)


def test_each_place_has_the_sounds_of_its_author(tmp_path):
    spoken, told = plan_of(tmp_path)
    assert spoken[1] == (
        "[Tbilisi's](/təbɪlˈisiz/) bass, a [bass](/bˈæs/) and the bass [bass](/bAs/) of Mits Keta."
    )
    assert spoken[2] == "A krch, bass."
    assert "2 words whose sounds the book gives are said by hibari as written" in told
    assert "its words are read as without it: its member 'OEBPS/gone.pls' is missing" in told


def test_the_runs_own_words_come_before_the_books(tmp_path):
    lexicon = tmp_path / "own.yaml"
    lexicon.write_text("Tbilisi: Tiflis\nMtskheta: Armazi\n")
    spoken, _ = plan_of(tmp_path, lexicon=[str(lexicon)], replacements={"bass": "perch"})
    assert spoken[1] == "Tiflis's perch, a perch and the perch perch of Armazi."


def test_an_engine_without_phonemes_is_told_before_the_run(tmp_path):
    """Only a respelling is of use to it."""
    (source,) = read_sources(georgia(tmp_path))
    sayings = sayings_of(SpeakParams(text="x"), entry("chatterbox"), books=[source.book])
    (note,), saying = sayings.notes, sayings.main
    assert note.startswith("5 words whose sounds the book gives are said by chatterbox as written")
    assert saying.say("Tbilisi, Mtskheta").text == "Tbilisi, Mits Keta"
    assert with_sounds(split_chunks("bass"), [], saying)[0][0].spoken == "bass"


def test_a_place_that_is_changed_or_cut_is_told(tmp_path):
    _, told = plan_of(tmp_path, regex_replacements={"the bass": "the perch"})
    assert "2 words whose sounds the book gives are not found" in told


def test_a_line_of_a_book_made_again_sounds_as_the_run_will(tmp_path):
    """What the book says of its words is in what was said, and so in the line that is heard."""
    folder = {"outputs_dir": str(tmp_path), "run_name": "book"}
    speech = generate_tts(SpeakParams(text_file=str(georgia(tmp_path)), engine="hibari", **folder))
    chunk = next(c for c in speech.record.chunks if "Tbilisi" in c.text)
    edit = edit_of(chunk).model_copy(update={"take": 1})
    line = make_line(speech, edit)
    save_edits(speech.folder, [edit])
    keys = {c.key for c in apply_edits(speech).record.chunks}
    assert line.key in keys
