from __future__ import annotations

import sys
from pathlib import Path

import pytest

from llmkit.cache.opening import open_store
from llmkit.cache.redis import RedisStore
from llmkit.cache.sqlite import SQLiteStore
from llmkit.errors import CacheUnavailable


@pytest.mark.parametrize(
    "url", ["cache.db", "a.sqlite", "a.sqlite3", "sqlite:cache.db", "sqlite:odd name", "~/home.db"]
)
def test_a_file_is_opened_by_its_name(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    store = open_store(url)
    assert isinstance(store, SQLiteStore)
    store.close()
    assert (tmp_path / url.removeprefix("sqlite:").removeprefix("~/")).exists()


def test_a_file_is_opened_by_its_whole_path(tmp_path: Path) -> None:
    for url in (f"sqlite:{tmp_path}/one", f"{tmp_path}/two.db"):
        store = open_store(url)
        assert isinstance(store, SQLiteStore)
        store.close()
    assert {path.name for path in tmp_path.iterdir()} >= {"one", "two.db"}


def test_a_file_that_is_not_there_is_made_only_if_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "typo.db"
    with pytest.raises(CacheUnavailable, match=rf"^there is no file {path}$"):
        open_store(str(path), create=False)
    assert not path.exists()
    open_store(str(path)).close()  # type: ignore[attr-defined]
    open_store(str(path), create=False).close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("url", ["redis://localhost:6379/0", "rediss://u:p@h", "unix:///run/redis.sock"])
def test_a_redis_is_opened_by_its_url(url: str) -> None:
    assert isinstance(open_store(url, create=False), RedisStore)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("cache.txt", "cache.txt"),
        ("postgres://alice:hunter2@host/x", "postgres://..."),
        ("postgres://alice:hunter2@host/x.db", "postgres://..."),
        ("redis:hunter2@host", "redis:..."),
        ("hunter2@host/0", "..."),
        ("sqlite:///cache.db", "sqlite://..."),
    ],
)
def test_anything_else_is_an_error_that_repeats_no_password(url: str, shown: str) -> None:
    with pytest.raises(ValueError) as caught:
        open_store(url)
    assert str(caught.value) == (
        f"{shown!r} is no cache; write sqlite:cache.db, sqlite:/folder/cache.db, a file that ends in .db, .sqlite, "
        ".sqlite3, or redis://:password@host:6379/0"
    )


def test_the_home_of_nobody_is_an_error() -> None:
    for url in ("~nobody-of-this-name/cache.db", "sqlite:~nobody-of-this-name/cache"):
        with pytest.raises(ValueError, match=r"^'~nobody-of-this-name/.*' begins with the home folder of a user who"):
            open_store(url)


def test_a_redis_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(Exception, match=r"pip install 'llmkit\[redis\]'"):
        open_store("redis://localhost")
