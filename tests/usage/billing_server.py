"""An API that answers what the request's number says, and keeps the usage of everything it has billed."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from threading import Lock
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

MODELS = ("gpt-4o", "gpt-4o-mini", "gpt-5", "gpt-5.4", "gpt-6.1-sol", "o3", "nobodys-own")
TIERS = (None, "default", "flex", "priority")


class BillingServer:
    """An ASGI app; `billed` has what it sent as usage, by the id of the answer."""

    def __init__(self) -> None:
        self.billed: dict[str, dict[str, Any]] = {}
        self.refused: set[str] = set()
        self._lock = Lock()
        self.app = Starlette(
            routes=[
                Route("/v1/chat/completions", self._chat, methods=["POST"]),
                Route("/v1/responses", self._responses, methods=["POST"]),
                Route("/v1/embeddings", self._embeddings, methods=["POST"]),
            ]
        )

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        number = body["messages"][-1]["content"]
        if (refusal := self._refusal(number)) is not None:
            return refusal
        facts = _facts(number)
        head = {"id": f"chatcmpl-{number}", "created": 1, "model": facts["model"], "service_tier": facts["tier"]}
        usage = _chat_usage(facts)
        if not body.get("stream"):
            self._bill(head["id"], facts, usage)
            message = {"role": "assistant", "content": "Blue."}
            choices = [{"index": 0, "finish_reason": "stop", "message": message}]
            return JSONResponse({**head, "object": "chat.completion", "choices": choices, "usage": usage})
        return StreamingResponse(self._chunks(head, facts, usage), media_type="text/event-stream")

    async def _chunks(self, head: dict[str, Any], facts: dict[str, Any], usage: dict[str, Any]) -> AsyncIterator[bytes]:
        head = {**head, "object": "chat.completion.chunk"}
        for text in ("Bl", "ue", "."):
            yield _event({**head, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})
        yield _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self._bill(head["id"], facts, usage)
        yield _event({**head, "choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"

    async def _responses(self, request: Request) -> Response:
        body = await request.json()
        number = body["input"]
        facts = _facts(number)
        response = {
            "id": f"resp-{number}",
            "object": "response",
            "created_at": 1,
            "status": "completed",
            "model": facts["model"],
            "service_tier": facts["tier"],
            "output": [
                {
                    "type": "message",
                    "id": "msg-1",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "output_text", "text": "Blue.", "annotations": []}],
                }
            ],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": _responses_usage(facts),
        }
        self._bill(response["id"], facts, response["usage"])
        if not body.get("stream"):
            return JSONResponse(response)
        event = _event({"type": "response.completed", "sequence_number": 0, "response": response})
        return Response(event, media_type="text/event-stream")

    async def _embeddings(self, request: Request) -> Response:
        number = (await request.json())["input"]
        tokens = _facts(number)["input"]
        facts = {
            **_facts(number),
            "model": "text-embedding-3-small",
            "tier": None,
            "cached": 0,
            "written": 0,
            "output": 0,
            "reasoning": 0,
        }
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        self._bill(f"embedding-{number}", facts, usage)
        data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
        return JSONResponse({"object": "list", "data": data, "model": facts["model"], "usage": usage})

    def _refusal(self, number: str) -> Response | None:
        """The first attempt of one call in eleven is refused, to be tried again; one in 37 always is."""
        seed = int(number.split("-")[1])
        headers = {"retry-after-ms": "1"}
        if seed % 37 == 5:
            return JSONResponse(
                {"error": {"message": "no", "code": "bad", "type": "x", "param": None}}, status_code=400
            )
        with self._lock:
            first = number not in self.refused
            self.refused.add(number)
        if first and seed % 11 == 3:
            return JSONResponse({"error": {"message": "slow"}}, status_code=429, headers=headers)
        return None

    def _bill(self, answer: str, facts: dict[str, Any], usage: dict[str, Any]) -> None:
        with self._lock:
            assert answer not in self.billed
            self.billed[answer] = {**facts, "usage": usage}


def _facts(number: str) -> dict[str, Any]:
    made = random.Random(number)
    given = made.choice((20, 900, 40_000, 300_000))
    output = made.randrange(1, 3_000)
    return {
        "model": made.choice(MODELS),
        "tier": made.choice(TIERS),
        "input": given,
        "cached": made.choice((0, given // 3)),
        "written": made.choice((0, given // 5)),
        "output": output,
        "reasoning": made.choice((0, output // 2)),
    }


def _chat_usage(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "prompt_tokens": facts["input"],
        "completion_tokens": facts["output"],
        "total_tokens": facts["input"] + facts["output"],
        "prompt_tokens_details": {"cached_tokens": facts["cached"], "cache_write_tokens": facts["written"]},
        "completion_tokens_details": {"reasoning_tokens": facts["reasoning"]},
    }


def _responses_usage(facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "input_tokens": facts["input"],
        "output_tokens": facts["output"],
        "total_tokens": facts["input"] + facts["output"],
        "input_tokens_details": {"cached_tokens": facts["cached"], "cache_write_tokens": facts["written"]},
        "output_tokens_details": {"reasoning_tokens": facts["reasoning"]},
    }


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()
