from __future__ import annotations

import pytest

from llmkit.cache.semantic.agreement import Agreement, agreement, counted, say_the_same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Click on Forgot password.", "click on FORGOT password!", True),
        ("It is blue and it is fine.", "It is blue, and fine it is.", True),
        ("It is blue.", "Ask your bank for a new card.", False),
        ("yes yes yes yes", "yes", False),
        ("...", " ... ", True),
        ("...", "!!!", False),
        ("", "words", False),
    ],
)
def test_answers_say_the_same_when_they_have_most_of_their_words_in_common(one: str, other: str, same: bool) -> None:
    assert say_the_same(one, other) is same
    assert say_the_same(other, one) is same


def test_each_score_is_counted_in_its_band_and_low_ones_in_none() -> None:
    assert counted(0.951, agreed=True) == {"shadow_compared_95": 1, "shadow_agreed_95": 1}
    assert counted(0.95, agreed=False) == {"shadow_compared_95": 1, "shadow_agreed_95": 0}
    assert counted(0.29 + 0.57, agreed=True) == {"shadow_compared_86": 1, "shadow_agreed_86": 1}
    assert counted(1.0, agreed=True) == counted(0.99, agreed=True)
    assert counted(0.7999, agreed=True) == {}


def test_the_bands_in_which_something_was_compared_come_highest_first() -> None:
    counts = {"shadow_compared_80": 4, "shadow_agreed_80": 1, "shadow_compared_99": 2, "hits": 7}
    high, low = agreement(counts)
    assert high == Agreement(low=0.99, compared=2, agreed=0)
    assert (high.share, low.share) == (0.0, 0.25)
