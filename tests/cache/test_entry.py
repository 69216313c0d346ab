from __future__ import annotations

from dataclasses import replace

import pytest
from cache.stores import FULL, KEY, NOW

from llmkit.cache.entry import Selection


def test_the_size_is_that_of_the_answer_and_the_vector_unless_it_is_given() -> None:
    assert FULL.size == len(FULL.body) + len(FULL.events or b"") + len(FULL.vector or b"") == 103
    assert replace(FULL, body=b"", events=None, vector=None).size == 103
    assert replace(FULL, body=b"{}", events=None, vector=None, size=-1).size == 2


def test_an_entry_expires_at_its_moment_or_never() -> None:
    assert not FULL.expired(now=NOW + 3600.4)
    assert FULL.expired(now=NOW + 3600.5)
    assert not replace(FULL, expires_at=None).expired(now=NOW + 1e9)


def test_a_representation_has_no_word_of_the_answer() -> None:
    assert "chatcmpl" not in repr(FULL)
    assert r"\xff" not in repr(FULL)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), True),
        (Selection(key=KEY), True),
        (Selection(key=KEY[:-1]), False),
        (Selection(prefix="chat.completions:"), True),
        (Selection(prefix="responses:"), False),
        (Selection(model="gpt-4o-mini"), True),
        (Selection(model="gpt-4o"), False),
        (Selection(tags={"user": "Zo\u00eb"}), True),
        (Selection(tags={"user": "Zo\u00eb", "team": 8}), False),
        (Selection(tags={"unknown": 1}), False),
        (Selection(older_than=59), True),
        (Selection(older_than=60), False),
        (Selection(key=KEY, model="gpt-4o-mini", older_than=59), True),
        (Selection(key=KEY, model="gpt-4o", older_than=59), False),
    ],
)
def test_an_entry_is_meant_when_all_that_is_given_holds(selection: Selection, expected: bool) -> None:
    assert selection.has(FULL, now=FULL.created_at + 60) is expected
