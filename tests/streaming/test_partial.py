from __future__ import annotations

import json
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.streaming.partial import partial_json

TEXT = st.text(
    st.characters(codec=None, categories=["L", "N", "P", "S", "Z", "C"]), max_size=6
)  # halves of surrogate pairs, too
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)


def mended(value: Any) -> Any:
    """`value` with U+FFFD for what UTF-8 cannot hold, and pairs joined, as a decoder of UTF-16 would have it."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, list):
        return [mended(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {mended(name): mended(item) for name, item in cast("dict[str, Any]", value).items()}
    return value


def is_prefix(part: Any, whole: Any, *, at_the_end: bool = True) -> bool:
    """Whether `part` may be what is seen of `whole`: only the last value at each level may be cut."""
    if part is None and at_the_end:
        return True
    if isinstance(part, str) and isinstance(whole, str):
        return whole.startswith(part) if at_the_end else part == whole
    if isinstance(part, list) and isinstance(whole, list):
        pairs = list(zip(cast("list[object]", part), cast("list[object]", whole), strict=False))
        last = len(pairs) - 1
        seen = [is_prefix(*pair, at_the_end=at_the_end and index == last) for index, pair in enumerate(pairs)]
        return len(pairs) == len(cast("list[object]", part)) and all(seen)
    if isinstance(part, dict) and isinstance(whole, dict):
        items, all_items = cast("dict[str, Any]", part), cast("dict[str, Any]", whole)
        return (
            is_prefix(list(items.values()), [all_items.get(name) for name in items], at_the_end=at_the_end)
            and list(items) == list(all_items)[: len(items)]
        )
    if isinstance(part, int | float) and at_the_end:
        return True  # digits may follow
    return part == whole and type(part) is type(whole)


@settings(deadline=None)
@given(value=VALUES, escaped=st.booleans(), spaced=st.booleans())
def test_every_prefix_of_json_gives_a_prefix_of_its_value(value: Any, escaped: bool, spaced: bool) -> None:
    text = json.dumps(value, ensure_ascii=escaped, indent=1 if spaced else None)
    for end in range(len(text) + 1):
        assert is_prefix(partial_json(text[:end]), mended(value)), text[:end]


@given(value=VALUES, escaped=st.booleans())
def test_whole_json_gives_its_value(value: Any, escaped: bool) -> None:
    assert partial_json(json.dumps(value, ensure_ascii=escaped)) == mended(value)


@given(text=st.text() | st.text('{}[]",:\\u0dD8e-+. \n', max_size=30))
def test_no_text_makes_it_raise(text: str) -> None:
    partial_json(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        (" \n", None),
        ("{", {}),
        ('{"a', {}),
        ('{"a": ', {}),
        ('{"a": tr', {}),
        ('{"a": "b', {"a": "b"}),
        ('{"a": [1, "x", {"c": "d', {"a": [1, "x", {"c": "d"}]}),
        ('["ab\\', ["ab"]),
        ('["ab\\u00e', ["ab"]),
        ('["ab\\ud83d', ["ab"]),
        ('["ab\\ud83d\\ude', ["ab"]),
        ('["ab\\ud83d\\ude00', ["ab😀"]),
        ('["ab\\ud83d!', ["ab\ufffd!"]),
        ('["ab\\ud83d\\n', ["ab\ufffd\n"]),
        ('["ab\\ude00"]', ["ab\ufffd"]),
        ('["\\\\ud83d"]', ["\\ud83d"]),
        ('["\ud83d\ude00"]', ["😀"]),
        ("-", None),
        ("1e", None),
        ("[1, -", [1]),
        ("[1, 2e", [1]),
        ("[1, 2.", [1]),
        ("[12", [12]),
    ],
)
def test_what_is_cut_is_left_out_until_it_means_something(text: str, value: Any) -> None:
    assert partial_json(text) == value


@pytest.mark.parametrize("text", ['{"a": x', "{'a': 1}", '["\\q"]', '["a\nb', "[" * 300])
def test_what_cannot_become_json_gives_none(text: str) -> None:
    assert partial_json(text) is None


@pytest.mark.parametrize("text", ['{"a": 1}}', '{"a": 1} and so on', '{"a": 1}{"b": 2}'])
def test_what_follows_a_whole_value_is_ignored(text: str) -> None:
    assert partial_json(text) == {"a": 1}
