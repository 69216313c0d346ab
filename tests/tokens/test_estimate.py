from __future__ import annotations

import pytest

from llmkit.tokens.estimate import estimate_tokens


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 1), ("a", 1), ("abcd", 1), ("abcde", 2), ("é" * 4, 2), ("\ud800", 1)]
)
def test_a_token_is_estimated_at_four_bytes_of_utf_8(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens
