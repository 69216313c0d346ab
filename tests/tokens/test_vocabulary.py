from __future__ import annotations

import base64
import hashlib
import inspect
import re
import subprocess
import sys
import threading

import pytest
import tiktoken
import tiktoken_ext.openai_public as published

from llmkit.tokens import vocabulary
from llmkit.tokens.vocabulary import LONGEST_SPACE, encoding, is_loaded, load, text_length

NAMES = ["cl100k_base", "o200k_base"]


@pytest.mark.parametrize("name", NAMES)
def test_pattern_special_tokens_and_ranks_are_the_published_ones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "load_tiktoken_bpe", lambda url, expected_hash: expected_hash)
    wanted = getattr(published, name)()
    assert vocabulary.PATTERNS[name] == wanted["pat_str"]
    assert vocabulary.SPECIAL_TOKENS[name] == wanted["special_tokens"]
    text = b"".join(
        base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(vocabulary.tokens_by_rank(name))
    )
    assert hashlib.sha256(text).hexdigest() == wanted["mergeable_ranks"]
    assert re.search(wanted["mergeable_ranks"], inspect.getsource(getattr(published, name)))


def test_a_vocabulary_is_built_once_whatever_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "_loaded", {})
    built: list[str] = []
    ready = threading.Barrier(4)

    def build(name: str) -> object:
        built.append(name)
        return object()

    def ask() -> None:
        ready.wait()
        load("gpt-4")

    monkeypatch.setattr(vocabulary, "_build", build)
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    load("gpt-4")
    assert built == ["cl100k_base"]
    assert is_loaded("gpt-3.5-turbo")
    assert not is_loaded("gpt-4o")


def test_a_thread_that_waited_for_the_lock_takes_what_another_has_built(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: dict[str, object] = {}

    class Lock:
        def __enter__(self) -> None:
            loaded["o200k_base"] = "built by another thread"

        def __exit__(self, *exception: object) -> None:
            return None

    monkeypatch.setattr(vocabulary, "_loaded", loaded)
    monkeypatch.setattr(vocabulary._loading, "lock", Lock())
    assert encoding("o200k_base") == "built by another thread"


def test_importing_loads_nothing_and_counting_opens_no_socket() -> None:
    code = """
import sys, llmkit.tokens
from llmkit.tokens import count_tokens
from llmkit.tokens.vocabulary import is_loaded
print("tiktoken" in sys.modules, is_loaded("gpt-4o"))
sockets = []
sys.addaudithook(lambda event, args: sockets.append(event) if event.startswith("socket.") else None)
count_tokens([{"role": "user", "content": "hi"}], model="gpt-4o")
print(sockets, is_loaded("gpt-4o"))
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split("\n")[:2] == ["False False", "[] True"]


def test_the_encodings_are_tiktokens() -> None:
    assert isinstance(encoding("o200k_base"), tiktoken.Encoding)
    assert encoding("o200k_base").encode_ordinary("hello world") == [24912, 2375]
    assert encoding("cl100k_base").encode_ordinary("hello world") == [15339, 1917]


def test_special_tokens_are_plain_text() -> None:
    assert text_length("o200k_base", "<|endoftext|>") > 1


@pytest.mark.parametrize("name", NAMES)
def test_endless_white_space_and_lone_surrogates_are_counted(name: str) -> None:
    space = text_length(name, " " * 1_000_000)
    assert 0 < space < 20_000
    assert text_length(name, "a" + "\t" * (LONGEST_SPACE + 1) + "b") > 0
    assert text_length(name, "a" * LONGEST_SPACE) > 0
    assert text_length(name, "\ud800") > 0


def test_a_vocabulary_can_be_loaded_soon_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    done = threading.Event()

    def build(name: str) -> object:
        built.append(threading.current_thread().name)
        done.set()
        return object()

    monkeypatch.setattr(vocabulary, "_loaded", {})
    monkeypatch.setattr(vocabulary._loading, "begun", set())
    monkeypatch.setattr(vocabulary, "_build", build)
    monkeypatch.setattr(vocabulary, "START_UP", 0.0)
    vocabulary.load_soon("gpt-4o")
    vocabulary.load_soon("gpt-4o-mini")
    assert done.wait(10)
    assert built == ["llmkit-o200k_base"]


def test_a_forked_child_waits_for_no_thread_of_its_parents(monkeypatch: pytest.MonkeyPatch) -> None:
    loading = vocabulary._Loading()
    loading.begin()
    monkeypatch.setattr(vocabulary, "_loading", loading)
    with loading.lock:
        loading.begun.add("o200k_base")
        loading.begin()  # as in a child that is forked while a thread loads
        assert not loading.lock.locked()
        assert not loading.begun
