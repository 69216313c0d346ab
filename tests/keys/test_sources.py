from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from llmkit.keys.key import InvalidKeys, Key
from llmkit.keys.sources import Environment, File, Function, Given

A, B = Key("sk-a"), Key("sk-b")


def test_given_keys_must_be_different() -> None:
    assert Given(["sk-a", "sk-b"]).read() == (A, B)
    with pytest.raises(InvalidKeys, match="key 3 of the ring was given before"):
        Given(["sk-canary", "sk-b", "sk-canary"])
    with pytest.raises(InvalidKeys, match="no API key"):
        Given([])


def test_a_variable_is_split_at_commas_blanks_and_line_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYS", " sk-a,\n sk-b ,, sk-a")
    assert Environment("TEST_KEYS").read() == (A, B)


def test_a_variable_is_read_anew_only_when_it_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYS", "sk-a")
    source = Environment("TEST_KEYS")
    assert source.read() == (A,)
    assert source.read() is None
    monkeypatch.setenv("TEST_KEYS", "sk-b")
    assert source.read() == (B,)
    assert "sk-b" not in str(vars(source))


def test_a_variable_without_keys_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEYS", raising=False)
    with pytest.raises(InvalidKeys, match="variable TEST_KEYS is not set"):
        Environment("TEST_KEYS").read()
    monkeypatch.setenv("TEST_KEYS", "")
    with pytest.raises(InvalidKeys, match="variable TEST_KEYS is empty"):
        Environment("TEST_KEYS").read()
    monkeypatch.setenv("TEST_KEYS", " , ")
    with pytest.raises(InvalidKeys, match="no API key"):
        Environment("TEST_KEYS").read()


def test_a_file_has_one_key_a_line_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b"\xef\xbb\xbf# ours\n\nsk-a  # the old one\r\n  sk-b\nsk-a\n")
    assert File(path, every=1).read() == (A, B)


def test_a_file_is_read_again_when_it_is_changed_or_replaced(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("sk-a\n")
    source = File(str(path), every=1)
    assert source.read() == (A,)
    assert source.read() is None
    path.write_text("sk-a\nsk-b\n")
    assert source.read() == (A, B)
    before = path.stat()
    other = tmp_path / "new"
    other.write_text("sk-b\nsk-a\n")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)  # the same size and time: the file is another one all the same
    assert source.read() == (B, A)


def test_a_broken_file_is_named_by_line_and_never_quoted(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("sk-a\n# x\nsk-canary sk-b\n")
    source = File(path, every=1)
    for _ in range(2):  # a file that was not understood is not taken as read
        with pytest.raises(InvalidKeys, match=re.escape(f"line 3 of the file {path} has blanks")) as caught:
            source.read()
    assert "canary" not in str(caught.value)
    path.write_text("# none\n")
    with pytest.raises(InvalidKeys, match=re.escape(f"no API key comes from the file {path}")):
        source.read()
    path.write_bytes(b"sk-canary\xff")
    with pytest.raises(InvalidKeys, match=re.escape(f"the file {path} is not UTF-8 text")) as caught:
        source.read()
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("given", ["sk-a", ["sk-a"], iter(["sk-a"])])
def test_a_function_gives_one_key_or_several(given: str | Iterable[str]) -> None:
    source = Function(lambda: given, every=30)
    assert source.read() == (A,)
    assert (source.blocks, source.is_async) == (True, False)


class AsyncSecrets:
    async def __call__(self) -> list[str]:
        return ["sk-a", "sk-b"]


async def get_keys() -> list[str]:
    return ["sk-a", "sk-b"]


@pytest.mark.parametrize("function", [get_keys, AsyncSecrets()])
async def test_an_async_function_is_awaited(function: Any) -> None:
    source = Function(function, every=30)
    keys = source.read()
    assert inspect.isawaitable(keys)
    assert await keys == (A, B)
    assert (source.blocks, source.is_async) == (False, True)


async def test_a_plain_function_may_return_something_to_await() -> None:
    keys = Function(lambda: get_keys(), every=30).read()
    assert inspect.isawaitable(keys)
    assert await keys == (A, B)


def test_what_a_function_gives_is_checked() -> None:
    def broken() -> Any:
        return 7

    with pytest.raises(InvalidKeys, match=r"function .*broken returned a int, not a key"):
        Function(broken, every=30).read()
    with pytest.raises(InvalidKeys, match=r"key 2 of the function .*lambda> is blank"):
        Function(lambda: ["sk-a", ""], every=30).read()
    with pytest.raises(TypeError, match="asks a function for its keys, not a str"):
        Function("sk-a", every=30)  # type: ignore[arg-type]
    assert Function(AsyncSecrets(), every=30).name == "the function AsyncSecrets"
