from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessage

from llmkit.batches.lines import custom_id, index_of, line_of

CHAT = "/v1/chat/completions"
HELLO: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}


def test_a_line_is_the_request_with_its_number() -> None:
    line = line_of(3, HELLO, endpoint=CHAT)
    assert json.loads(line.content) == {"custom_id": "request-3", "method": "POST", "url": CHAT, "body": HELLO}
    assert (line.index, line.model, line.inputs, line.content.count(b"\n")) == (3, "gpt-4o", 0, 1)


def test_what_the_sdk_takes_becomes_what_the_sdk_sends() -> None:
    said = ChatCompletionMessage(role="assistant", content="Hi")
    request = {
        **HELLO,
        "messages": [said],
        "temperature": openai.NOT_GIVEN,
        "seed": openai.omit,
        "timeout": None,
        "stream": False,
        "extra_body": {"top_k": 4},
    }
    body = json.loads(line_of(0, request, endpoint=CHAT).content)["body"]
    assert body == {"model": "gpt-4o", "messages": [{"role": "assistant", "content": "Hi"}], "top_k": 4}


@pytest.mark.parametrize(("given", "inputs"), [("a", 1), (["a", "b"], 2), ([1, 2], 1), ([[1], [2], [3]], 3), ([], 1)])
def test_texts_to_embed_are_counted(given: object, inputs: int) -> None:
    assert line_of(0, {"model": "m", "input": given}, endpoint="/v1/embeddings").inputs == inputs


@pytest.mark.parametrize(
    ("request_", "endpoint", "error", "message"),
    [
        ("Hello", CHAT, TypeError, r"requests\[7\] is a str"),
        ({**HELLO, "stream": True}, CHAT, ValueError, r"requests\[7\] asks for a stream"),
        ({**HELLO, "extra_body": {"stream": True}}, CHAT, ValueError, "asks for a stream"),
        ({**HELLO, "extra_headers": {"x": "y"}}, CHAT, ValueError, "has 'extra_headers', which a line"),
        ({**HELLO, "timeout": 3}, CHAT, ValueError, "has 'timeout'"),
        ({"messages": []}, CHAT, ValueError, "has no 'model'"),
        ({"model": "m"}, CHAT, ValueError, "has no 'messages'"),
        ({"model": "m"}, "/v1/responses", ValueError, "has no 'input'"),
        ({**HELLO, "response_format": object}, CHAT, TypeError, "cannot be written as JSON: Object of type type"),
        ({**HELLO, "temperature": float("nan")}, CHAT, TypeError, "cannot be written as JSON"),
    ],
)
def test_what_a_batch_cannot_carry_is_refused(
    request_: object, endpoint: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        line_of(7, request_, endpoint=endpoint)
    assert "Hello" not in str(caught.value)


@pytest.mark.parametrize("given", [None, 7, "", "request-", "request-x", "mine"])
def test_other_ids_are_nobodys(given: object) -> None:
    assert index_of(given) is None
    assert index_of(custom_id(12)) == 12
