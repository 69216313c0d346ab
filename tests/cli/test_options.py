from __future__ import annotations

from pathlib import Path

import pytest
import typer

from llmkit.cache.memory import MemoryStore
from llmkit.cache.sqlite import SQLiteStore
from llmkit.cli.options import duration, not_empty, opened, tags_of


def test_a_duration_is_in_seconds_or_a_usage_error() -> None:
    assert duration("2h") == 7_200
    with pytest.raises(typer.BadParameter, match="'2 hours' is no duration; write 90s, 15m, 2h or 7d"):
        duration("2 hours")


def test_tags_are_names_and_values() -> None:
    assert tags_of(None) == {}
    assert tags_of(["user=alice", "where=a=b", "none="]) == {"user": "alice", "where": "a=b", "none": ""}


def test_an_empty_text_is_a_usage_error() -> None:
    assert (not_empty(None), not_empty(" ")) == (None, " ")
    with pytest.raises(typer.BadParameter, match="it is empty"):
        not_empty("")


@pytest.mark.parametrize("text", ["user", "=alice", ""])
def test_a_tag_without_a_name_or_value_is_a_usage_error(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="has no name and value; write user=alice"):
        tags_of([text])


def test_an_address_of_no_store_is_a_usage_error_without_its_password() -> None:
    with (
        pytest.raises(typer.BadParameter, match=r"'postgres://\.\.\.' is no cache") as caught,
        opened("postgres://u:pw@h"),
    ):
        pass
    assert caught.value.param_hint == "--store"


def test_an_opened_store_is_closed_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[SQLiteStore] = []
    close = SQLiteStore.close
    monkeypatch.setattr(SQLiteStore, "close", lambda self: (closed.append(self), close(self))[1])
    with pytest.raises(RuntimeError), opened(str(tmp_path / "cache.db"), create=True) as store:
        raise RuntimeError
    assert closed == [store]


def test_a_store_that_cannot_be_closed_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    monkeypatch.setattr("llmkit.cache.opening.open_store", lambda url, create: store)
    with opened("memory") as answers:
        assert answers is store
