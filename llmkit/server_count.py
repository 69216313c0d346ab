"""The one count that is exact whatever the request holds: the server's own, for a round trip."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmkit.tokens import TokenCount

if TYPE_CHECKING:
    import openai


async def count_on_server(client: openai.AsyncOpenAI, body: Mapping[str, Any]) -> TokenCount:
    """Ask the API for the input tokens of a `responses.create` request, stored conversations and files included.

    `body` holds the arguments of `responses.create`; what does not shape the input (`temperature`, `stream`, ...) is
    left out. One request to /responses/input_tokens, free of charge at the time of writing; its errors are the API's.
    """
    count = client.responses.input_tokens.count
    counted = {name: body[name] for name in inspect.signature(count).parameters if name in body}
    answer = await count(**counted)
    return TokenCount(total=answer.input_tokens, messages=answer.input_tokens)
