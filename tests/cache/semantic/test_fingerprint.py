from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cache.semantic.fingerprint import ALTERNATIVES, Marks, marks
from llmkit.cache.semantic.words import CHOICES

TEXT = 'Is "Ann Lee" 34 years old, and does she live before https://example.com/?q=1 or not?'


def numbers_are(text, *numbers):
    return marks(text).numbers == frozenset().union(*(marks(number).numbers for number in numbers))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("one of the best", ()),
        ("how does one live", ()),
        ("one hundred", ("100",)),
        ("two hundred five", ("205",)),
        ("twenty one", ("21",)),
        ("3 dozen eggs", ("36",)),
        ("a dozen eggs", ("12",)),
        ("vitamin k and 5 k", ("5000",)),
        ("1,234,567 or 1,23", ("1234567", "1", "23")),
        ("1 2", ("1", "2")),
        ("v3.10", ("3.10",)),
        ("5km", ("5",)),
        ("two point 5.5 million", ("2", "5500000")),
        ("zero five", ("0", "5")),
        ("9999999999999 million", ("9999999999999", "1000000")),
        ("\uff11\uff10", ("10",)),
    ],
)
def test_a_number_is_the_same_however_it_is_written(text, numbers):
    assert numbers_are(text, *numbers)


def test_a_different_number_is_another_one():
    assert not numbers_are("3.10", "3.1")


@pytest.mark.parametrize("figure", "¹²³¼½¾⁰⁴⁵⁶⁷⁸⁹⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞⅟ⅠⅤⅩⅬⅭⅮⅯⅰⅴⅹⅿↀↁↂ")
def test_a_figure_of_one_character_is_a_number(figure):
    assert numbers_are(f"a {figure} b", f"{unicodedata.numeric(figure):g}")


def test_a_number_that_is_said_twice_is_not_the_number_once():
    once, twice, thrice = (marks(text).numbers for text in ("5", "5 5", "5 five 5"))
    assert once < twice < thrice


def test_signs_are_kept_in_order():
    assert len({marks(text).signs for text in ("2 3 4", "2 + 3 4", "2 + 3 * 4", "2 * 3 + 4")}) == 4


def test_an_address_has_no_signs():
    assert marks("on http://a.b/?c=d%20#+").signs == marks("").signs


def test_marks_survive_json():
    kept = marks(TEXT).to_json()
    assert Marks.from_json(kept) == marks(TEXT)
    assert Marks.from_json(kept.decode()) == marks(TEXT)
    assert len(kept) < 300


def test_what_is_kept_holds_no_word_of_the_text():
    kept = marks(TEXT).to_json().decode().casefold()
    assert not [word for word in ("ann", "lee", "34", "years", "old", "live", "example", "before") if word in kept]


def test_many_words_share_a_hash():
    kept = json.loads(marks(TEXT).to_json())
    hashes = [*kept["numbers"], *kept["names"], *kept["words"], *kept["quoted"]]
    assert 0 <= min(hashes) <= max(hashes) < 2**12


def test_a_secret_hides_the_hashes_and_another_secret_does_not_find_them():
    plain, keyed, other = marks(TEXT), marks(TEXT, secret=b"one"), marks(TEXT, secret=b"two")
    assert keyed == marks(TEXT, secret=b"one")
    assert len({plain.bag, keyed.bag, other.bag}) == 3
    assert len({plain.words, keyed.words, other.words}) == 3
    assert len({plain.check, keyed.check, other.check}) == 3


def test_all_marks_of_a_secret_have_the_same_check():
    assert marks("one", secret=b"s").check == marks("two", secret=b"s").check


def test_the_marks_of_a_text_stay_what_they_are_as_long_as_the_version_does():
    """They are kept for weeks: when this fails, raise `version`, so that old ones are not compared with new ones."""
    assert marks("Which 2 cities of Spain were not cheaper before 1990?") == Marks(
        version=1,
        numbers=frozenset({3948, 3007}),
        signs=295,
        names=frozenset({2420}),
        words=frozenset({2944, 3531, 3948, 1491, 2420, 1499, 3007}),
        quoted=frozenset(),
        choices=frozenset({80, 192}),
        question="",
        negated=True,
        bag=4001559910,
        order=3276070727,
        length=53,
        script="LATIN",
        check=309448485,
    )


@pytest.mark.parametrize(
    "damaged", [b"", b"{}", b"[]", b"null", b"\xff", marks(TEXT).to_json()[:-1], b'{"version":2}', "nonsense"]
)
def test_what_is_damaged_is_a_value_error(damaged):
    with pytest.raises(ValueError):
        Marks.from_json(damaged)


def test_marks_of_another_version_are_not_compared():
    with pytest.raises(ValueError, match="version"):
        Marks.from_json(marks(TEXT).to_json().replace(b'"version":1', b'"version":2'))


@pytest.mark.parametrize(
    "text",
    ["", " ", "\ud800", "😀", "\u00b2", "\u0663", "፩", "'", "\u2019s", "$", "_", "9" * 500, "a." * 500, "“" * 999],
)
def test_odd_texts_have_marks_too(text):
    assert Marks.from_json(marks(text).to_json()) == marks(text)


@given(st.text())
def test_every_text_has_marks(text):
    assert Marks.from_json(marks(text).to_json()) == marks(text)


def test_no_row_of_choices_is_too_long_for_its_place():
    assert all(len(row.split("|")) <= ALTERNATIVES for rows in CHOICES.values() for row in rows)
