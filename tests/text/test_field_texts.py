"""Texts that failed elsewhere, or here, and the right value of each: refused, told, or spoken so.

The inputs lie in `data/field_texts`: S failed once, P always passed.
"""

import itertools
import re
from functools import partial

import pytest
from conftest import ROOT

from chatter_nb import SpeakParams, plan_speech
from chatter_nb.base.errors import InputError
from chatter_nb.text.chunking import clean, split_chunks
from chatter_nb.text.pace import chunk_limit
from chatter_nb.text.spoken.say import choose_rules, say

FOLDER = ROOT / "tests" / "data" / "field_texts"
SPOKEN = {
    "S08_page": ["Title", r"Hello there\."],
    "P01_money_time_date": [
        r"The bill was nineteen dollars and ninety-nine cents, then one thousand two hundred "
        r"thirty-four dollars and fifty cents, then five point three million dollars, three pounds "
        r"and fifty pence, fifty-five cents\. At nine thirty p\.m\. on three slash four slash "
        r"twenty twenty-six call four one six, five five five, zero one nine two\. It was ninety-"
        r"eight point six degrees Fahrenheit, five percent up, one half done, on the 21st\."
    ],
    "P02_soft_hyphens": ["We can transform any responsibility with the ﬁrst oﬃce ﬂoor."],
    "P03_wrapped_crlf": ["It was the best of .* times, it was the age of wisdom.", "Next one."],
    "P04_utf16": ["It’s “fine”, said Zoë."],
    "P06_decimals_not_split": [r"Height: 8,848\.86 .* 3\.14 .* Dr\. Smith .* five p\.m\. .*"],
    "S02_huge_number": ["The number is one duodecillion one hundred eleven .* eleven exactly."],
    "S03_hyphen_chain": ["He shouted", "(no-){10} (no-){10} .*"],
    "S03_long_url": [
        r"See example dot com slash p zero [^/\d]*",
        r"[^/\d]* twenty-eight [^/\d]*",
        r"[^/\d]* forty-four [^/\d]*",
        r"[^/\d]* slash p fifty-nine now\.",
    ],
    "S05_form_feed": ["The road .* winding, and it ended here.", "Chapter Two", "It was light."],
    "S06_caps_names": [
        "Mister Darcy met Missus Bennet in the garden.",
        "The adventures of Sherlock Holmes",
        "It was late.",
    ],
    "S09_grouped_by_space": [
        "There were twenty-five thousand people, one million birds and ten thousand francs; "
        "one hundred thousand in all."
    ],
    "S10_roman_headings": [
        "One",
        "It was cold.",
        "Two.",
        "It was warm.",
        "Eight.",
        "It was hot.",
        "Chapter four. The end",
        "It was over.",
    ],
    "S11_numbered_list": [
        "To do it:",
        "1. First thing",
        "2. Second thing",
        "3. Third thing",
        "Then rest.",
    ],
    "S13_double_hyphen": [
        "It was dark—very dark—and I was afraid—so I ran—and then—nothing."
    ],
    "S14_abbreviations_en": [
        "See volume 2 of it and .* On Wednesday January 5 he left.",
        "That morning .* before noon,",
        "and nobody .* see volume 2 of it, where the cats live too.",
    ],
    "S17_long_token": [
        "See example dot com(?: slash abc)+ slash",
        "abc(?: slash abc)+ slash",
        "abc(?: slash abc)+ slash for more.",
    ],
    "S18_false_note": ["Here a > b and c < d."],
    "S20_zwnj": ["The shelfful of office goods."],
    "S22_sentence_dots": [
        "Figure 3 shows it. See page 45, pages 45 to 47, compare Smith et al 2019, approximately "
        "five kilometers. On September 11 he left."
    ],
}  # fmt: skip
TOLD = {
    "P05_cp1252": "read as cp1252",
    "S12_line_hyphens": "words divided .* which clean: hyphens makes whole: 2",
    "S15_plain_markdown_as_text": "# Heading: Markdown's marks are read as they stand",
    "S16_tags": r"hibari reads \[laugh\], \[sigh\] as words: chatterbox-turbo acts them",
    "S19_terminal_colours": "the codes that colour a terminal's text are taken out",
}
REFUSED = {
    "S02_huge_number": r"cannot read 1{40}: .*\n.*: note\n  1{40}, 1 time: “The .*\n"
    r"replacements:.*\n  \"1{40}\": \"1 1 1",
    "S04_ipa": "would leave out ˈwɔːtə",
    "S07_ssml": r"SSML.* Write \[pause 500ms\] for a break",
}
# Where a pause may fall: the ends of sentences, and nothing else.
SENTENCE_ENDS = {
    "S14_abbreviations_fr": ("fr", ["Dupont.", "venu.", "Gaule.", "aussi.", "chats."]),
    "S14_ordinals_de": ("de", ["warm.", "anders.", "gewann.", "Nachbarn."]),
    "S21_quote_tag_ja": ("ja", ["聞いた。", "言った。"]),
}


def plan_of(name, folder, **values):
    (path,) = FOLDER.glob(f"{name}.*")
    values = {"text_file": str(path), "engine": "hibari", "outputs_dir": str(folder)} | values
    return plan_speech(SpeakParams(**values))


def test_every_text_is_tried():
    assert {path.stem for path in FOLDER.iterdir()} == {*SPOKEN, *TOLD, *REFUSED, *SENTENCE_ENDS}


@pytest.mark.parametrize("name", SPOKEN)
def test_what_the_voice_is_given_and_nothing_to_tell(name, tmp_path):
    plan = plan_of(name, tmp_path)
    spoken = [planned.chunk.spoken for planned in plan.chunks]
    assert len(spoken) == len(SPOKEN[name])
    for text, pattern in zip(spoken, SPOKEN[name], strict=True):
        assert re.fullmatch(pattern, text), text
    assert plan.warnings == ()


@pytest.mark.parametrize("name", TOLD)
def test_what_may_be_meant_otherwise_is_told(name, tmp_path):
    (note,) = plan_of(name, tmp_path).warnings
    assert re.search(TOLD[name], note)


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_lost_or_read_as_gibberish_is_refused(name, tmp_path):
    """As it is written: numbers in words make the number that is too long one that is not."""
    with pytest.raises(InputError, match=REFUSED[name]):
        plan_of(name, tmp_path, normalize="off")


def test_a_lone_numeral_has_a_chapters_pause_before_it(tmp_path):
    chunks = [planned.chunk for planned in plan_of("S10_roman_headings", tmp_path).chunks]
    before = {b.spoken: a.pause_ms for a, b in itertools.pairwise(chunks)}
    assert before == {
        "It was cold.": 600,
        "Two.": 1500,
        "It was warm.": 600,
        "Eight.": 1500,
        "It was hot.": 600,
        "Chapter four. The end": 1500,
        "It was over.": 600,
    }


@pytest.mark.parametrize("chunk_chars", [20, 33, 60, 280])
def test_what_a_cut_parts_is_said_with_every_word(chunk_chars):
    """A number of 40 digits, an address and a grouped number, at any length of chunks."""
    text = f"See https://example.com/{'p1/' * 40}x and {'1' * 40} or 1 000 000 000 birds, 25 000."
    say_so = partial(say, language="en", chosen=choose_rules("auto"))
    chunks = split_chunks(text, chunk_chars=chunk_chars, say=say_so)
    assert "".join(chunk.text for chunk in chunks) == text
    assert " ".join(chunk.spoken for chunk in chunks).split() == say_so(text).text.split()


@pytest.mark.parametrize("name", SENTENCE_ENDS)
@pytest.mark.parametrize("chunk_chars", [20, 40, 80, 280])
def test_a_pause_falls_where_a_sentence_ends(name, chunk_chars):
    """At any length of chunks: a title, an ordinal or a quote's particle is no place for it."""
    language, ends = SENTENCE_ENDS[name]
    text = clean((FOLDER / f"{name}.txt").read_text(encoding="utf-8"))
    chunks = split_chunks(text, chunk_chars=chunk_limit(chunk_chars, language), language=language)
    for chunk in chunks:
        assert not chunk.pause_ms or chunk.spoken.endswith(tuple(ends)), chunk
