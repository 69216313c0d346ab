from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmkit import MemoryStore, SQLiteStore
from llmkit.cache import claims
from llmkit.cache.claims import Claims


def until(condition: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it never was so")


def take(claims: Claims, key: str, *, now: float) -> bool:
    claims.want(key)
    return claims.take(key, now=now)


def store(folder: Path) -> SQLiteStore:
    return SQLiteStore(folder / "cache.db")


def test_only_one_process_has_a_claim(tmp_path: Path) -> None:
    one, other = Claims(store(tmp_path)), Claims(store(tmp_path))
    assert take(one, "k", now=time.time())
    assert not take(other, "k", now=time.time())
    assert take(other, "another", now=time.time())
    one.give_up("k")
    assert take(other, "k", now=time.time())
    other.give_up("k")
    other.give_up("another")


def test_giving_up_what_is_not_held_does_nothing(tmp_path: Path) -> None:
    one, other = Claims(store(tmp_path)), Claims(store(tmp_path))
    assert take(one, "k", now=time.time())
    other.give_up("k")
    assert not take(other, "k", now=time.time())
    one.give_up("k")


def test_a_claim_is_renewed_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_LEASE", 0.3)
    monkeypatch.setattr(claims, "_RENEWAL", 0.02)
    one, other = Claims(store(tmp_path)), Claims(store(tmp_path))
    assert take(one, "k", now=time.time())
    assert take(one, "j", now=time.time())
    for _ in range(20):
        time.sleep(0.03)
        assert not take(other, "k", now=time.time())
    one.give_up("k")
    assert take(other, "k", now=time.time())
    one.give_up("j")
    other.give_up("k")
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "llmkit-claims"])


def test_a_claim_of_a_process_that_is_gone_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_LEASE", 0.2)
    now = time.time()
    assert store(tmp_path).claim("k", owner="gone", seconds=0.2, now=now)
    one = Claims(store(tmp_path))
    assert not take(one, "k", now=now)
    until(lambda: take(one, "k", now=time.time()))
    one.give_up("k")


def test_a_store_that_fails_while_claims_are_renewed_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_RENEWAL", 0.01)
    kept = store(tmp_path)
    one = Claims(kept)
    assert take(one, "k", now=time.time())
    asked: list[str] = []

    def fail(key: str, **options: object) -> bool:
        asked.append(key)
        raise ConnectionError

    monkeypatch.setattr(kept, "claim", fail)
    until(lambda: len(asked) >= 2)
    one.give_up("k")


def test_what_was_given_up_meanwhile_is_not_renewed(tmp_path: Path) -> None:
    one = Claims(store(tmp_path))
    one._renew_one("k")
    assert take(Claims(store(tmp_path)), "k", now=time.time())


def test_the_claims_of_a_parent_are_not_its_childrens(tmp_path: Path) -> None:
    one = Claims(store(tmp_path))
    assert take(one, "k", now=time.time())
    one.begin()  # as after a fork
    assert not take(one, "k", now=time.time())
    one.give_up("k")
    assert not take(one, "k", now=time.time())


def test_what_is_given_up_while_it_is_taken_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = store(tmp_path)
    one, claim = Claims(kept), kept.claim

    def cancelled_meanwhile(key: str, **options: Any) -> bool:
        taken = claim(key, **options)
        one.give_up(key)
        return taken

    monkeypatch.setattr(kept, "claim", cancelled_meanwhile)
    assert not take(one, "k", now=time.time())
    assert take(Claims(store(tmp_path)), "k", now=time.time())


def test_a_store_of_one_process_needs_no_claims() -> None:
    one = Claims(MemoryStore())
    assert take(one, "k", now=0)
    assert take(one, "k", now=0)
    one.give_up("k")
