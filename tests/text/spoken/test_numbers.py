"""No number is said as another: all of a range, and drawn ones, read back by `reader`."""

import calendar
import re
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader import read, read_digits, read_ordinal, read_year
from text_to_num import text2num

from chatter_nb.text.spoken.say import choose_rules, say
from chatter_nb.text.spoken.words import POINTS, number_in

ALL = choose_rules("auto")
LARGE = st.integers(0, 65).flatmap(lambda power: st.integers(0, 10 ** (power + 1) - 1))
SPACES = st.sampled_from([",", " ", "\u00a0", "\u2009", "\u202f"])


def said(written, frame="They saw {} there."):
    """What is said for a written number in a sentence."""
    before, after = frame.split("{}")
    spoken = say(before + written + after, "en", ALL).text
    assert spoken.startswith(before)
    assert spoken.endswith(after)
    return spoken[len(before) : len(spoken) - len(after)]


def test_the_reader_refuses_what_is_no_number():
    """Else the tests below could not fail."""
    wrong = [
        "one two",
        "twenty thirty",
        "hundred",
        "one thousand million",
        "ten one",
        "",
        "zero one",
    ]
    for words in (*wrong, "twenty zero", "one hundred hundred", "five thousand thousand"):
        with pytest.raises((ValueError, KeyError)):
            read(words)
    assert read("minus two million three hundred one point zero five") == Decimal("-2000301.05")
    assert read_year("nineteen oh five") == 1905
    assert read_ordinal("one hundred twenty-first") == 121


def test_whole_numbers_to_twenty_thousand():
    """All to 3,000, then each 13th."""
    for value in (*range(3_000), *range(3_000, 20_000, 13)):
        words = said(str(value))
        assert (read_year if 1000 <= value < 2100 else read)(words) == value, words
        assert read(said(f"{value:,}")) == value
        assert read_ordinal(said(f"{value}th")) == value


@settings(deadline=None)
@given(LARGE, SPACES)
def test_grouped_numbers(value, mark):
    written = f"{value:,}".replace(",", mark)
    assert read(said(written)) == value
    assert read(said(f"{written} km").removesuffix("s").removesuffix(" kilometer")) == value
    words = said(f"{written}.25 km").removesuffix(" kilometers")
    assert words == f"{said(written)} point two five"


@settings(deadline=None)
@given(LARGE, st.from_regex(r"[0-9]{1,9}", fullmatch=True), st.sampled_from(["", "-", "−"]))
def test_numbers_with_decimals_and_signs(value, decimals, sign):
    expected = Decimal(f"{'-' if sign else ''}{value}.{decimals}")
    assert read(said(f"{sign}{value}.{decimals}")) == expected
    assert read(said(f"{sign}{value:,}.{decimals}")) == expected


@settings(deadline=None)
@given(
    st.integers(0, 10**9), st.sampled_from(["{}.", "{}", "({})", "“{}”", "it is {}, or", "a {}; b"])
)
def test_numbers_in_any_place(value, frame):
    words = said(str(value), frame)
    assert (read_year if 1000 <= value < 2100 else read)(words) == value


@settings(deadline=None)
@given(st.integers(1, 31), st.integers(1, 12), st.integers(1000, 2099))
def test_dates(day, month, year):
    name = calendar.month_name[month]
    first = re.fullmatch(r"(\w+) (\S+), (.+)", said(f"{year}-{month:02}-{day:02}"))
    assert first[1] == name
    assert (read_ordinal(first[2]), read_year(first[3])) == (day, year)
    for written in (f"{day} {name} {year}", f"{day} {name[:3]}. {year}"):
        if month != 5 or "." not in written:
            assert said(written) == f"the {first[2]} of {name}, {first[3]}"
    assert said(f"{name} {day}, {year}") == first[0]
    if day > 12:
        assert said(f"{month}/{day}/{year}") == first[0]
        assert said(f"{day}/{month}/{year}") == f"the {first[2]} of {name}, {first[3]}"


def test_every_minute_of_a_day():
    for minute in range(24 * 60):
        hour, rest = divmod(minute, 60)
        words = said(f"{hour}:{rest:02}")
        head, _, tail = words.partition(" ")
        assert read(head) == hour
        assert tail == "o'clock" if rest == 0 else read(tail.removeprefix("oh ")) == rest
        assert said(f"{hour}:{rest:02} pm") == words.removesuffix(" o'clock") + " p.m."


@settings(deadline=None)
@given(st.integers(0, 10**12), st.integers(0, 99), st.sampled_from([",", ""]))
def test_money(dollars, cents, mark):
    written = f"{dollars:,}".replace(",", mark)
    words = said(f"${written}.{cents:02}")
    whole, _, part = words.partition(" and ") if dollars or not cents else ("", "", words)
    assert read(re.sub(" dollars?$", "", whole) or "zero") == dollars
    assert read(re.sub(" cents?$", "", part) or "zero") == cents
    assert read(said(f"€{written}").removesuffix("s").removesuffix(" euro")) == dollars
    assert read(said(f"£{written}m").removesuffix(" million pounds")) == dollars


@settings(deadline=None)
@given(st.integers(0, 999), st.integers(0, 999), st.sampled_from(["-", "–", " – "]))
def test_ranges(first, last, dash):
    words = said(f"{first}{dash}{last}")
    assert [read(word) for word in words.split(" to ")] == [first, last]
    both, name = said(f"${first}{dash}{last}").rsplit(" ", 1)
    assert name in ("dollar", "dollars")
    assert [read(word) for word in both.split(" to ")] == [first, last]
    both = said(f"{first}{dash}{last} %").removesuffix(" percent")
    assert [read(word) for word in both.split(" to ")] == [first, last]


@settings(deadline=None)
@given(st.integers(1000, 2099), st.integers(0, 99))
def test_spans_of_years(first, last):
    start, end = said(f"{first}–{last:02}").split(" to ")
    assert read_year(start) == first
    assert read(end.removeprefix("oh ")) == last


@settings(deadline=None)
@given(st.lists(st.integers(0, 999), min_size=3, max_size=5))
def test_versions(parts):
    words = said("v" + ".".join(map(str, parts)))
    assert [read(word) for word in words.removeprefix("version ").split(" point ")] == parts


@settings(deadline=None)
@given(st.from_regex(r"[2-9][0-9]{2}-[2-9][0-9]{2}-[0-9]{4}", fullmatch=True))
def test_telephone_numbers(written):
    for form in (written, f"+1 {written.replace('-', ' ')}", f"({written[:3]}) {written[4:]}"):
        groups = said(form).removeprefix("plus one, ").split(", ")
        assert "-".join(map(read_digits, groups)) == written


@settings(deadline=None)
@given(st.integers(0, 99), st.integers(0, 99), st.integers(2, 10))
def test_fractions(whole, above, below):
    names = ["half", "third", "quarter", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
    if not 0 < above < below:
        return
    words = said(f"{above}/{below}")
    count, name = words.rsplit(" ", 1)
    assert read(count) == above
    assert name.removesuffix("s").replace("halve", "half") == names[below - 2]
    if whole:
        mixed, _, part = said(f"{whole} {above}/{below}").partition(" and ")
        assert read(mixed) == whole
        assert part.replace("a ", "one ", 1) == words


def roman(value):
    """A Roman numeral, by subtraction."""
    written = ""
    for worth, letters in {
        **{100: "C", 90: "XC", 50: "L", 40: "XL", 10: "X"},
        **{9: "IX", 5: "V", 4: "IV", 1: "I"},
    }.items():
        written += letters * (value // worth)
        value %= worth
    return written


def test_every_roman_numeral_of_a_chapter():
    for value in range(1, 400):
        numeral = roman(value)
        if numeral not in ("C", "L"):  # letters more often
            assert read(said(numeral, "Chapter {}.")) == value
            assert read(said(numeral, "See Act {}, and go on.")) == value
        if numeral not in ("C", "L") and value < 40:
            assert read_ordinal(said(numeral, "King Louis {}.").removeprefix("the ")) == value


@pytest.mark.parametrize("language", POINTS)
@settings(deadline=None)
@given(st.integers(0, 10**12 - 1))
def test_numbers_in_other_languages(language, value):
    """None is read as another by `text2num`; it does not know all forms, as "veintiún mil"."""
    words = number_in(language, str(value))
    try:
        assert text2num(words, language) == value
    except ValueError as error:
        assert "literal" in str(error), words  # noqa: PT017 - it reads no number in them


@pytest.mark.parametrize("language", POINTS)
def test_nearly_all_numbers_in_other_languages_are_read(language):
    """What `text2num` does not know is little, so that the test above holds."""
    unread = 0
    for value in (*range(1, 2_000, 3), *range(2_000, 1_000_000, 9_973)):
        try:
            assert text2num(number_in(language, str(value)), language) == value
        except ValueError:
            unread += 1
    assert unread < 60


@pytest.mark.parametrize(
    ("language", "written", "words"),
    [
        ("de", "25.000 Leute, 3,5 Kilo", "fünfundzwanzigtausend Leute, drei Komma fünf Kilo"),
        ("de", "1984 sind es 12.", "neunzehnhundertvierundachtzig sind es 12."),
        ("de-AT", "Am 19. Mai um 12:30, 3/4, 1 Hund", "Am 19. Mai um 12:30, 3/4, 1 Hund"),
        ("fr", "25 000 gens et 71 chats", "vingt-cinq mille gens et soixante-et-onze chats"),
        ("es", "Hay 2.500 libros.", "Hay dos mil quinientos libros."),
        ("it", "Sono 28 anni e 2,05 litri.", "Sono ventotto anni e due virgola zero cinque litri."),
        ("pt", "São 33 dias.", "São trinta e três dias."),
        ("nl", "Er zijn 81 huizen.", "Er zijn eenentachtig huizen."),
    ],
)  # fmt: skip
def test_other_languages_have_plain_numbers(language, written, words):
    """Dates, times, ordinals with a stop and "1" stay, as their form depends on the sentence."""
    spoken = say(written, language, ALL)
    assert spoken.text == words
    assert spoken.left == len(re.findall(r"[0-9]+(?:[:/][0-9]+)*", words))


def test_a_language_without_words_is_told():
    spoken = say("Це 25 і 3,5 о 12:30.", "uk", ALL)
    assert spoken.text == "Це 25 і 3,5 о 12:30."
    assert spoken.left == 3
