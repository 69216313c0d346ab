from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cache.semantic.numerals import numbers, signs


def test_a_number_that_comes_again_is_another_one():
    assert list(numbers(["5", "two", "and", "five", "x", "5"])) == ["5", "2", "5 1", "5 2"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x > 5 and y<=3", "> <="),
        ("x != 5, x == 5", "!= =="),
        ("2 + 3*4 - 1", "+ *"),
        ("(2 + 3) / 5 or (a)*b", "+ / *"),
        ("6/3, x/y, x / 5", "/ / /"),
        ("-5, (-x), 3 -.5, -$5", "- - - -"),
        ("C++, C#, 18+", "++ # +"),
        ("5% and 5 %", "% %"),
        ("2^3 ≤ √9", "^ ≤ √"),
    ],
)
def test_signs_are_found_by_numbers_and_letters(text, found):
    assert signs(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "an e-mail, well-known",
        "- item\n- 5 items",
        "text\n* item\n+ item",
        "and/or, he/she, tea / coffee",
        "on 2024-01-02, 01/02/2024, 1/2/24",
        "5-10 days, 24-7, covid-19",
        "#1 and #tag",
        "Python - how?",
    ],
)
def test_prose_has_no_signs(text):
    assert signs(text) == ""


@given(st.text())
def test_every_text_has_signs_or_none(text):
    assert signs(text) == signs(text).strip()
