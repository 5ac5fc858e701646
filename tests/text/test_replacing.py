"""Whole words replaced: the same as by one alternation of them all, in another order of work."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatter_nb.base.budget import budget
from chatter_nb.base.errors import InputError
from chatter_nb.text.replacing import Finder, Rule, rule
from chatter_nb.text.spoken.saying import Saying


def by_alternation(rules, text):
    """What says plainly which word wins: the longest, then the first; what follows it stays."""
    words = sorted(rules, key=len, reverse=True)
    either = "|".join(
        f"(?P<w{n}>{f'(?i:{re.escape(word)})' if word == word.lower() else re.escape(word)})"
        rf"(?P<after{n}>(?:['’]{'?' if is_name(word) else ''}s)?)(?!\w|['’-]\w)"
        for n, word in enumerate(words)
    )

    def said(found):
        [n] = [n for n in range(len(words)) if found[f"w{n}"] is not None]
        return rules[words[n]] + found[f"after{n}"]

    return re.sub(rf"(?<!\w)(?<!\w['’-])(?:{either})", said, text)


def is_name(word):
    return word != word.lower() and sum(map(str.isalpha, word)) >= 4


def replaced(text, finder):
    return Saying("en", finders=[("replacements", finder)]).say(text).text


def replace(rules, text):
    return replaced(text, Finder(rule(word, said) for word, said in rules.items()))


words = st.text("aAbsſßéİıkK'’-. !", min_size=1, max_size=4).filter(str.strip)


@given(
    st.dictionaries(words, st.sampled_from(["x", "Y z", ""]), min_size=1),
    st.text("aAbsſßéİıkK'’-. !\n"),
)
def test_the_tree_finds_what_an_alternation_finds(rules, text):
    assert replace(rules, text) == by_alternation(rules, text)


@pytest.mark.parametrize(
    ("rules", "text", "replaced"),
    [
        ({"us": "we", "US": "America"}, "us US Us", "we we we"),
        ({"US": "America", "us": "we"}, "us US Us", "we America we"),
        ({"mr": "mister", "mr smith": "the man"}, "Mr Smith, mr smithy", "the man, mister smithy"),
        ({"istanbul": "x", "ﬆ": "y"}, "İstanbul ﬅ", "x ﬅ"),
        ({"a": "b", "b": "a"}, "a b", "b a"),
    ],
)
def test_which_word_wins(rules, text, replaced):
    """Of one length the first; the longest that ends whole; nothing feeds another."""
    assert replace(rules, text) == replaced


@pytest.mark.parametrize(
    ("word", "text", "said"),
    [
        ("Siobhan", "Siobhan's, Siobhan’s, Siobhans, Siobhans'", "X's, X’s, Xs, Xs'"),
        ("tomato", "tomato's tomatos", "X's tomatos"),
        ("Al", "Al's Als", "X's Als"),
        ("Siobhan", "Siobhanski Siobhan-like siobhan", "Siobhanski Siobhan-like siobhan"),
    ],
)
def test_possessives_follow_and_plurals_of_names(word, text, said):
    assert replace({word: "X"}, text) == said


def test_exact_forms_are_the_word_alone():
    finder = Finder([Rule("Siobhan", "X", any_case=False, forms=False)])
    assert replaced("Siobhan's Siobhans Siobhan", finder) == "Siobhan's Siobhans X"


def test_many_words_with_one_beginning_cost_no_more_than_one():
    """Four hundred times the letters of the text, or a step for each."""
    looked_at = []

    class Counted(str):
        def __getitem__(self, place):
            looked_at.append(place)
            return super().__getitem__(place)

    rules = {"!" * 40 + str(n): "x" for n in range(400)}
    assert replace(rules, Counted("!" * 1_000)) == "!" * 1_000
    assert len(looked_at) < 50_000


def test_a_search_that_takes_too_long_ends_in_a_sentence(monkeypatch):
    """Words of a text's own length take the square of it."""
    monkeypatch.setattr("chatter_nb.base.budget.BASE_S", 0.05)
    monkeypatch.setattr("chatter_nb.base.budget.S_PER_MILLION_CHARS", 0.0)
    long = {"a " * 10_000 + "b": "x"}
    told = "20,000 characters took more than .* on replacements"
    with pytest.raises(InputError, match=told), budget(20_000):
        replace(long, "a " * 10_000)
