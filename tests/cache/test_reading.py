from __future__ import annotations

import pytest
from cache.stores import FULL, KEY, NOW

from llmkit.cache import reading
from llmkit.cache.packing import pack
from llmkit.cache.reading import Reader, pages


def test_what_can_be_read_is_an_entry_until_it_expires() -> None:
    reader, (head, rest) = Reader("the cache"), pack(FULL)
    assert reader.entry(KEY, head, rest, now=NOW) == FULL
    assert reader.listed(KEY, head, now=NOW) is not None
    assert reader.entry(KEY, head, rest, now=NOW + 3600.5) is None
    assert reader.listed(KEY, head, now=NOW + 3600.5) is None


def test_what_cannot_be_read_is_warned_of_once_by_its_key_alone(caplog: pytest.LogCaptureFixture) -> None:
    reader, (head, rest) = Reader("the cache"), pack(FULL)
    for _ in range(2):
        assert reader.entry(KEY, head, rest + b"secret", now=NOW) is None
        assert reader.entry("another", head, rest, now=NOW) is None
        assert reader.listed(KEY, b"secret", now=NOW) is None
    assert caplog.messages == [
        f"the cache: the entry {KEY} is left out: its answer is damaged",
        "the cache: the entry another is left out: it was kept under another key",
    ]


def test_warnings_end_when_all_is_damaged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_MOST_WARNED", 3)
    reader = Reader("the cache")
    for number in range(5):
        assert reader.listed(str(number), None, now=NOW) is None
    assert len(caplog.messages) == 3


def test_pages_have_a_hundred_each_and_the_last_one_the_rest() -> None:
    assert [len(page) for page in pages(list(range(250)))] == [100, 100, 50]
    assert list(pages([])) == []
