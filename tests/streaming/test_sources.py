from __future__ import annotations

import logging

import openai
import pytest

from llmkit.streaming.sources import close


async def test_close_takes_any_way_to_close_and_a_failure_to_close_is_only_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    closed: list[str] = []

    class Plain:
        def close(self) -> None:
            closed.append("plain")

    class Old:
        async def close(self) -> None:
            closed.append("old")

    class Broken:
        async def aclose(self) -> None:
            raise openai.OpenAIError("sk-secret")

    for source in (Plain(), Old(), object(), Broken()):
        await close(source)
    assert closed == ["plain", "old"]
    assert [record.getMessage() for record in caplog.records] == [
        f"closing a {Broken.__qualname__} failed with OpenAIError"
    ]
    assert caplog.records[0].levelno == logging.WARNING
