from __future__ import annotations

import json
from decimal import Decimal

from cli.stored import HOUR, NOW, chat, entry
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cache.entry import Selection
from llmkit.cli.entries import answer_of, as_json, facts, matching, meant_by, row, short_names, when


@given(st.sets(st.text("0123456789abcdef", min_size=12, max_size=12), max_size=30))
def test_a_short_name_means_its_key_and_no_other(digests: set[str]) -> None:
    keys = [f"chat.completions:gpt-4o:{digest}" for digest in digests]
    names = short_names(keys, among=keys)
    assert set(names) == set(keys)
    for key, name in names.items():
        assert meant_by(name, keys) == [key]
        assert len(name) >= 8


def test_a_short_name_is_eight_characters_or_as_many_as_it_takes() -> None:
    keys = ["a:0123456789", "a:0123456777", "a:ffffffffff"]
    assert list(short_names(keys, among=keys).values()) == ["012345678", "012345677", "ffffffff"]
    assert short_names(keys[1:2], among=keys) == {keys[1]: "012345677"}


def test_equal_digests_of_two_namespaces_are_called_by_their_whole_keys() -> None:
    keys = ["one:chat:0123456789", "two:chat:0123456789", "chat:01234"]
    assert list(short_names(keys, among=keys).values()) == [*keys[:2], "01234"]


def test_a_key_is_meant_by_a_beginning_of_it_or_of_its_digest() -> None:
    keys = ["chat:gpt-4o:abc1", "chat:gpt-4o:abc12", "embeddings:e:f00"]
    assert meant_by("chat:", keys) == keys[:2]
    assert meant_by("abc", keys) == keys[:2]
    assert meant_by("abc12", keys) == [keys[1]]
    assert meant_by("chat:gpt-4o:abc1", keys) == [keys[0]]
    assert meant_by("bc", keys) == []


def test_tags_match_as_they_are_shown() -> None:
    kept = [entry("1", tags={"tenant": 42}), entry("2", tags={"tenant": "42", "beta": True}), entry("3")]

    def found(**tags: str) -> list[str]:
        return [one.key[-1] for one in matching(kept, Selection(), tags=tags, now=NOW)]

    assert found(tenant="42") == ["1", "2"]
    assert found(tenant="42", beta="true") == ["2"]
    assert found() == ["1", "2", "3"]


def test_a_selection_and_tags_must_both_hold() -> None:
    kept = [entry("1", tags={"user": "alice"}), entry("2", model="gpt-5", tags={"user": "alice"})]
    assert list(matching(kept, Selection(model="gpt-5"), tags={"user": "alice"}, now=NOW)) == [kept[1]]


def test_a_row_has_all_but_the_text() -> None:
    assert row(entry("d", tags={"user": "alice", "beta": False}, size=840), "d", now=NOW) == (
        "d",
        "gpt-4o",
        "2h",
        "3h",
        "840 B",
        "1,200+34",
        "user=alice beta=false",
    )
    assert row(entry("d", expires_at=None), "d", now=NOW)[3] == "never"


def test_the_facts_say_what_is_known() -> None:
    made = entry("d", created_at=0.0, expires_at=HOUR, request_id="req_1", events=b"data: x", partition="p", size=840)
    assert dict(facts(made, now=0.0)) == {
        "key": "chat.completions:gpt-4o:d",
        "operation": "chat.completions",
        "model": "gpt-4o",
        "made": "1970-01-01T00:00:00Z, 0s ago",
        "expires": "1970-01-01T01:00:00Z, in 60m",
        "size": "840 B, made by a stream",
        "tokens": "1,200 input, 34 output",
        "cost": "$0.0033",
        "request id": "req_1",
        "tags": "-",
        "semantic": "found by meaning, too",
    }


def test_the_facts_say_what_is_not_known() -> None:
    bare = dict(facts(entry("d", expires_at=None, cost=None, size=840), now=NOW))
    assert (bare["expires"], bare["cost"], bare["request id"], bare["size"]) == ("never", "not known", "-", "840 B")
    assert "semantic" not in bare


def test_the_json_of_an_entry_has_exact_money_and_no_text() -> None:
    document = as_json(entry("d", created_at=0.0, expires_at=None, cost=Decimal("0.00334"), tags={"tenant": 42}))
    assert document == {
        "key": "chat.completions:gpt-4o:d",
        "operation": "chat.completions",
        "model": "gpt-4o",
        "created_at": "1970-01-01T00:00:00Z",
        "expires_at": None,
        "size": len(chat("Paris.")),
        "input_tokens": 1_200,
        "output_tokens": 34,
        "cost": "0.00334",
        "request_id": None,
        "tags": {"tenant": 42},
        "semantic": False,
    }
    assert as_json(entry("d", expires_at=60.0, cost=None))["expires_at"] == "1970-01-01T00:01:00Z"
    assert as_json(entry("d", cost=None))["cost"] is None


def test_times_are_in_the_years_that_have_four_digits() -> None:
    assert when(1_795_297_078.9) == "2026-11-21T21:37:58Z"
    assert when(NOW + 9e12) == when(float("inf")) == when(253_402_300_800) == "9999-12-31T23:59:59Z"
    assert when(-1e300) == "0001-01-01T00:00:00Z"


def test_an_answer_is_its_text_and_its_json_where_it_has_none() -> None:
    assert answer_of(entry("d", body=chat("Paris."))) == "Paris."
    vectors = json.dumps({"data": [{"embedding": [0.5]}]}).encode()
    assert answer_of(entry("d", body=vectors)) == vectors.decode()
    assert answer_of(entry("d", body=b"\xff{")) == "\ufffd{"
