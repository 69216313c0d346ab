from __future__ import annotations

import json
from dataclasses import fields, replace
from decimal import Decimal

import pytest
from cache.stores import FULL, KEY
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cache import packing
from llmkit.cache.entry import Entry
from llmkit.cache.packing import pack, unpack, unpack_head

MOMENTS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 2**40)
FIELDS = {
    "key": st.text(),
    "operation": st.text(),
    "model": st.none() | st.text(),
    "body": st.binary(),
    "events": st.none() | st.binary(),
    "created_at": MOMENTS,
    "expires_at": st.none() | MOMENTS,
    "request_id": st.none() | st.text(),
    "tags": st.dictionaries(st.text(), st.text() | st.integers() | st.floats(allow_nan=False) | st.booleans()),
    "input_tokens": st.integers(0),
    "output_tokens": st.integers(0),
    "cost": st.none() | st.decimals(allow_nan=False),
    "partition": st.none() | st.text(),
    "vector": st.none() | st.binary(),
    "marks": st.none() | st.text(),
    "question": st.none() | st.text(),
}
ENTRIES = st.builds(Entry, **FIELDS)


def test_all_fields_are_tried_here() -> None:
    assert {field.name for field in fields(Entry)} - set(FIELDS) == {"size"}


@given(ENTRIES)
def test_any_entry_comes_back_as_it_was(entry: Entry) -> None:
    head, rest = pack(entry)
    found = unpack(entry.key, head, rest)
    assert found == entry
    assert [type(value) for value in found.tags.values()] == [type(value) for value in entry.tags.values()]
    assert unpack_head(entry.key, head) == replace(entry, body=b"", events=None, vector=None)


def test_a_head_is_a_checksum_and_json_in_one_line_and_the_rest_is_the_answer_as_it_came() -> None:
    head, rest = pack(FULL)
    assert b"\n" not in head
    assert json.loads(head[32:]) == {
        "key": KEY,
        "operation": "chat.completions",
        "model": "gpt-4o-mini",
        "created_at": FULL.created_at,
        "expires_at": FULL.expires_at,
        "request_id": "req_1",
        "tags": {"user": "Zo\u00eb", "paid": True, "team": 7, "share": 0.1},
        "input_tokens": 11,
        "output_tokens": 3,
        "cost": "0.00000345",
        "partition": "a1b2",
        "marks": '{"digits": []}',
        "question": "What is a caf\u00e9?",
        "lengths": [len(FULL.body), 42, 16],
        "rest": "21cb9375ed084a3b0071b5c0ac760f06",
    }
    assert rest == FULL.body + (FULL.events or b"") + (FULL.vector or b"")


def test_costs_are_exact() -> None:
    head, rest = pack(replace(FULL, cost=Decimal("0.10")))
    assert str(unpack(KEY, head, rest).cost) == "0.10"


def test_each_flipped_bit_is_noticed() -> None:
    head, rest = pack(FULL)
    for place in range(len(head)):
        for bit in range(8):
            damaged = flipped(head, place, bit)
            with pytest.raises(ValueError, match=r"^it is damaged, of another version or of another program$"):
                unpack(KEY, damaged, rest)
            with pytest.raises(ValueError, match=r"^it is damaged, of another version or of another program$"):
                unpack_head(KEY, damaged)
    for place in range(len(rest)):
        with pytest.raises(ValueError, match=r"^its answer is damaged$"):
            unpack(KEY, head, flipped(rest, place, place % 8))


def flipped(data: bytes, place: int, bit: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def test_an_entry_under_another_key_is_noticed() -> None:
    head, rest = pack(FULL)
    with pytest.raises(ValueError, match=r"^it was kept under another key$"):
        unpack(KEY + "0", head, rest)
    with pytest.raises(ValueError, match=r"^it was kept under another key$"):
        unpack_head("", head)


def test_the_answer_of_another_entry_is_noticed() -> None:
    head, rest = pack(FULL)
    for other in (b"", rest[:-1], rest + b"0", pack(replace(FULL, body=b"{}"))[1]):
        with pytest.raises(ValueError, match=r"^its answer is damaged$"):
            unpack(KEY, head, other)


@pytest.mark.parametrize("value", [None, "", b"", 7, 1.5, "text", b"text", b"{}", b"0" * 32, b"0" * 32 + b"{}"])
def test_what_is_no_entry_is_refused_and_not_quoted(value: object) -> None:
    head, rest = pack(FULL)
    for read in (lambda: unpack(KEY, value, rest), lambda: unpack_head(KEY, value), lambda: unpack(KEY, head, value)):
        with pytest.raises(ValueError, match=r"^(it is damaged, of another.*|its answer is damaged)$"):
            read()


def test_an_entry_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(packing, "_FORMAT", b"llmkit cache 2")
        head, rest = pack(FULL)
    with pytest.raises(ValueError, match="of another version"):
        unpack(KEY, head, rest)


def test_the_checksum_of_this_version_stays_as_it_is_or_old_caches_would_be_lost() -> None:
    assert pack(FULL)[0].startswith(b"9f6531d60515")
