from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from llmkit.testing import FakeOpenAI


@pytest.fixture
def fake() -> FakeOpenAI:
    return FakeOpenAI()


@pytest.fixture
def sdk(fake: FakeOpenAI) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        api_key="sk-fake", base_url=fake.base_url, http_client=fake.http_client(), max_retries=0
    ) as client:
        yield client
