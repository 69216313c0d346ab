from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from llmkit import runtime
from llmkit.cache.semantic.vectors import Vectors

REQUEST: Any = SimpleNamespace(runtime=runtime.current(is_async=True))


async def test_a_text_is_embedded_once_and_its_vector_has_length_one() -> None:
    asked: list[str] = []

    def embed(text: str) -> Sequence[float]:
        asked.append(text)
        return [3.0, 4.0]

    vectors = Vectors(embed, model="m")
    for _ in range(3):
        made = await vectors.of("hello", REQUEST)
        assert made is not None
        assert list(made) == pytest.approx([0.6, 0.8])
    assert asked == ["hello"]


async def test_those_embedded_long_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmkit.cache.semantic.vectors._MOST", 2)
    asked: list[str] = []

    async def embed(text: str) -> Sequence[float]:
        asked.append(text)
        return [1.0]

    vectors = Vectors(embed, model="m")
    for text in "abcbca":
        await vectors.of(text, REQUEST)
    assert asked == ["a", "b", "c", "a"]


@pytest.mark.parametrize("made", [[], [0.0], [float("inf")], [[1.0]], None, "abc"])
async def test_what_is_no_vector_is_none_and_a_warning_without_the_text(
    made: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="llmkit"):
        assert await Vectors(lambda _: made, model="m").of("a secret", REQUEST) is None
    assert "a question could not be embedded (" in caplog.text
    assert "secret" not in caplog.text
    assert "abc" not in caplog.text


async def test_a_cancelled_embedding_cancels_the_call() -> None:
    async def embed(text: str) -> Sequence[float]:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Vectors(embed, model="m").of("hello", REQUEST)


async def test_half_a_surrogate_pair_can_be_embedded() -> None:
    assert await Vectors(lambda _: [1.0], model="m").of("\ud83d", REQUEST) is not None
