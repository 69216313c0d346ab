from __future__ import annotations

import copy
import pickle
import re
from dataclasses import asdict, dataclass

import pytest

from llmkit.keys.key import InvalidKeys, Key, checked_keys

SECRET = "sk-canary-4f9a1c77d2"


@pytest.mark.parametrize(
    ("text", "label"),
    [(SECRET, "...77d2"), ("sk-abcdefghi", "...ghi"), ("sk-a", "...a"), ("abc", "..."), ("x" * 16, "...xxxx")],
)
def test_a_label_shows_four_characters_at_most_and_never_more_than_a_quarter(text: str, label: str) -> None:
    assert Key(text).label == label


def test_a_key_shows_nothing_of_itself_but_its_label() -> None:
    @dataclass
    class Holder:
        key: Key

    key = Key(SECRET)
    shown = [repr(key), str(key), f"{key}", repr([key]), repr(asdict(Holder(key)))]
    assert all("...77d2" in text and SECRET[-8:] not in text for text in shown)
    assert not hasattr(key, "__dict__")


def test_a_key_is_not_pickled_and_copies_are_the_key_itself() -> None:
    key = Key(SECRET)
    with pytest.raises(TypeError, match="not pickled") as caught:
        pickle.dumps(key)
    assert SECRET not in str(caught.value)
    assert copy.deepcopy([key])[0] is key


def test_keys_are_equal_when_their_texts_are() -> None:
    assert {Key("sk-a"), Key("sk-a")} == {Key("sk-a")}
    assert Key("sk-a") != Key("sk-b")
    assert Key("sk-a") != "sk-a"


def test_a_key_knows_the_requests_it_was_sent_with() -> None:
    key = Key("sk-a")
    assert key.is_in({"authorization": "Bearer sk-a"})
    assert key.is_in({"api-key": "sk-a"})
    assert not key.is_in({"authorization": "Bearer sk-ab", "api-key": "sk-b"})
    assert not key.is_in({})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "key 1 is blank"),
        (" \n", "key 1 is blank"),
        (None, "key 1 is of type NoneType"),
        (SECRET + "\n", "key 1 has blanks"),
        (SECRET + " " + SECRET, "key 1 has blanks"),
        (SECRET + "," + SECRET, "key 1 has blanks, commas"),
        (SECRET + "ü", "key 1 has blanks, commas, line ends or other characters"),
    ],
)
def test_what_cannot_be_a_key_is_refused_without_being_shown(text: object, message: str) -> None:
    with pytest.raises(InvalidKeys, match=re.escape(message)) as caught:
        checked_keys([("key 1", text)], source="a test")
    assert isinstance(caught.value, ValueError)
    assert "canary" not in str(caught.value)


def test_a_key_that_comes_twice_counts_once_and_no_key_is_an_error() -> None:
    assert checked_keys([("a", "sk-a"), ("b", "sk-b"), ("c", "sk-a")], source="a test") == (Key("sk-a"), Key("sk-b"))
    with pytest.raises(InvalidKeys, match="no API key"):
        checked_keys([], source="a test")
