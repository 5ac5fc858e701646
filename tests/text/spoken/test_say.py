"""What is said for written English: the table of pairs, and the place of each change."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatter_nb.base.errors import InputError
from chatter_nb.text import spoken as spoken_package
from chatter_nb.text.chunking import Chunk
from chatter_nb.text.in_full import in_full
from chatter_nb.text.spoken.rules import rules
from chatter_nb.text.spoken.say import choose_rules, say

HERE = Path(__file__).parent
ALL = choose_rules("auto")
SIGNS = " 0123456789.,:;/-–−$€£%°'’\"#+&=@^²½()IVXivxAaMmpPkKsStThOneUS\n\u00a0\u2009"


def pairs(name):
    """Rule, what is written, what is said. `held_out` was written before there was any rule."""
    lines = (HERE / name).read_text("utf-8").splitlines()
    return [tuple(line.split("\t")) for line in lines]


PAIRS = pairs("held_out.tsv") + pairs("tuned.tsv")


def replaced(text, spoken):
    """The text with the spans of its changes replaced; they must be in order and apart."""
    said, at = "", 0
    for change in spoken.changes:
        assert at <= change.start < change.end <= len(text)
        said += text[at : change.start] + change.said
        at = change.end
    return said + text[at:]


@pytest.mark.parametrize(("rule", "written", "said"), PAIRS)
def test_a_pair_of_the_table(rule, written, said):
    """The words are exactly these, and no rule but the known ones changed anything."""
    spoken = say(written, "en", ALL)
    assert spoken.text == said == replaced(written, spoken)
    assert written == said or rule in {change.rule for change in spoken.changes}


def test_the_table_is_large_and_has_every_rule():
    assert len(PAIRS) >= 250
    assert len(pairs("held_out.tsv")) >= 125
    assert (
        {rule for rule, _, _ in PAIRS}
        == ALL
        == {rule.name for _, group in rules() for rule in group}
    )


@pytest.mark.parametrize("text", (HERE / "as_written.txt").read_text("utf-8").splitlines())
def test_what_is_right_as_it_is_stays(text):
    assert say(text, "en", ALL).text == text
    assert say(text, "en", ALL).changes == ()


@settings(max_examples=400, deadline=None)
@given(st.text(st.sampled_from(SIGNS), max_size=60))
def test_changes_are_apart_and_no_digit_is_left(text):
    """Of any text: the spans tile with what is left, and every digit is said."""
    spoken = say(text, "en", ALL)
    assert replaced(text, spoken) == spoken.text
    assert not any(char in "0123456789" for char in spoken.text)


@settings(max_examples=400, deadline=None)
@given(st.text(st.sampled_from(SIGNS), max_size=60), st.sampled_from(sorted(ALL)))
def test_a_rule_that_is_off_leaves_what_is_its(text, rule):
    """The others change the same places as before, and say the same."""
    everything, without = say(text, "en", ALL), say(text, "en", ALL - {rule})
    kept = [change for change in everything.changes if change.rule != rule]
    others = [change for change in without.changes if change.rule != "abbreviations"]
    assert others == [change for change in kept if change.rule != "abbreviations"]
    assert replaced(text, without) == without.text


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(PAIRS), st.integers(0, 90), st.integers(0, 90))
def test_words_that_stand_apart_change_nothing(pair, before, after):
    """A pair says the same in the middle of a long text, which is not searched as a whole."""
    _, written, said = pair
    before, after = "so it was " * before + "so.\n\n", "\n\nand so it was" + " and so" * after
    assert say(before + written + after, "en", ALL).text == before + said + after


def test_no_word_is_cut_where_the_search_ends():
    """The text around a numeral is searched up to any place inside of the next words."""
    for count in range(60):
        text = f"It was I {'a' * count}\nImportance was V"
        assert say(text, "en", ALL).text == text


def test_off_changes_nothing():
    assert say("CHAPTER IV, $5", "en", choose_rules("off")).text == "CHAPTER IV, $5"


def test_rules_are_chosen_by_name():
    assert choose_rules("numbers, dates") == {"numbers", "dates"}
    assert choose_rules("-numbers") == ALL - {"numbers"}
    assert choose_rules("auto", "hibari") < choose_rules("auto", "chatterbox") == ALL
    with pytest.raises(InputError, match=r"normalize: 'number' is not among addresses, .*off"):
        choose_rules("number")


def test_the_readme_has_every_rule_and_what_hibari_needs():
    page = (Path(spoken_package.__file__).parents[1] / "README.md").read_text("utf-8")
    rows = re.findall(r"(?m)^\| `([a-z]+)` \| (x?) ?\|", page)
    assert {name for name, _ in rows} == ALL
    assert {name for name, mark in rows if mark} == choose_rules("auto", "hibari")


@pytest.mark.parametrize(
    "text",
    [
        *("See p. 5, pp. 6-7 and p.8.", "Fig. 3, FIG. 4, figs. 5 and 6", "Sept. 11 was"),
        *("cf. Smith et al. 2019", "On Wed. Jan. 5, vol. 2", "See vol. II, ch. XII and eq. V"),
        *("No. 5 vs. No. 6", "See e.g. Paris, i.e. 5 km", "He said no. Then he left."),
    ],
)
def test_abbreviations_are_those_of_in_full(text):
    """One table: with this rule alone a chunk says what it says today."""
    assert say(text, "en", {"abbreviations"}).text == in_full(text)
    assert in_full(text) == Chunk(0, text, 0, "en").spoken
