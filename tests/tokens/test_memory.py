from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.tokens import memory
from llmkit.tokens.memory import LONG_TEXT, ByteRuler, Memory
from llmkit.tokens.vocabulary import text_length


@given(st.lists(st.text(), max_size=30))
def test_a_remembered_count_is_a_fresh_one(texts: list[str]) -> None:
    small = Memory("o200k_base", max_entries=3)
    assert [small.text(text) for text in texts] == [text_length("o200k_base", text) for text in texts]


def test_a_text_is_tokenised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def length(name: str, text: str) -> int:
        asked.append(text)
        return len(text)

    monkeypatch.setattr(memory, "text_length", length)
    texts = Memory("o200k_base")
    long = "x" * (LONG_TEXT + 1)
    for text in ("a", "a", long, "".join(["x"] * (LONG_TEXT + 1)), "b"):
        texts.text(text)
    assert asked == ["a", long, "b"]
    assert long not in texts.young


def test_what_was_not_used_for_two_generations_is_forgotten() -> None:
    two = Memory("o200k_base", max_entries=2)
    for key in ("a", "b", "c"):
        two.put(key, 1, 0)
    assert two.get("a", 0) == 1  # moved to the young generation
    two.put("d", 1, 0)
    assert two.get("b", 0) is None
    assert two.get("a", 0) == 1
    assert len(two.young) <= 2


def test_keys_are_limited_in_bytes() -> None:
    few = Memory("o200k_base", max_bytes=100)
    few.put("a", 1, 60)
    few.put("b", 1, 60)
    assert set(few.young) == {"b"}
    few.put("c", 1, 30)
    assert set(few.young) == {"b", "c"}


def test_threads_share_a_memory() -> None:
    shared = Memory("o200k_base", max_entries=5)
    wrong: list[str] = []

    def work() -> None:
        for number in range(300):
            text = f"word {number % 11}"
            if shared.text(text) != text_length("o200k_base", text):
                wrong.append(text)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@given(st.text(st.characters()))
def test_no_token_is_shorter_than_a_byte(text: str) -> None:
    ruler = ByteRuler()
    assert ruler.text(text) >= text_length("o200k_base", text)
    assert ruler.text(text) >= text_length("cl100k_base", text)


def test_the_ruler_measures_texts_only_and_keeps_nothing() -> None:
    ruler = ByteRuler()
    assert ruler.text("é") == 2
    assert ruler.put(("a", "b"), 7, 0) == 7
    assert ruler.get(("a", "b"), 0) is None
    with pytest.raises(KeyError):
        _ = ruler.young[None]
