"""2,000 calls with the full stack against a server that fails three times in ten, in every way we know.

    python benchmarks/chaos.py [--calls 2000] [--at-once 100] [--seed 1]

Each call must end in its own right answer or in the error that belongs to what the server did last; no call may be
sent more often than the policy allows; at the end no connection, no task and no memory may be left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import gc
import json
import os
import random
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx2
import openai
from pydantic import BaseModel

import llmkit
from llmkit import (
    AsyncOpenAI,
    Budget,
    CallRecord,
    CircuitBreaker,
    Context,
    Fallback,
    KeyRing,
    RateLimit,
    Retry,
    Route,
    Rule,
    Timeouts,
    UsageLog,
)

FAILING = 0.3
RETRIES = 3
MODELS = ("gpt-4o", "gpt-4o-mini")
SURFACES = ("create", "stream", "parse", "raw", "responses", "embeddings")
HEAD = "HTTP/1.1 {} -\r\ncontent-type: {}\r\nx-request-id: req_chaos\r\n{}\r\n"
JSON, HTML, EVENTS = "application/json", "text/html", "text/event-stream"

# What the caller may see when this is what the server did last; None where the answer is right.
ERRORS: dict[str, tuple[type[Exception], ...]] = {
    "429": (openai.RateLimitError,),
    "429 with a wait": (openai.RateLimitError,),
    "500": (openai.InternalServerError,),
    "503": (openai.InternalServerError,),
    "silence": (openai.APITimeoutError,),
    "drop": (openai.APIConnectionError,),
    "drop in the body": (openai.APIConnectionError, httpx2.RemoteProtocolError),
    "a page": (llmkit.InvalidResponse,),
    "half the JSON": (llmkit.InvalidResponse, json.JSONDecodeError),
    "no choices": (llmkit.InvalidResponse,),
}


class Answer(BaseModel):
    """What `parse` is asked for."""

    call: str


class Server:
    """Answers in a thread and a loop of its own; `served` has what each call got, attempt by attempt."""

    def __init__(self, seed: int) -> None:
        self.served: collections.defaultdict[str, list[str]] = collections.defaultdict(list)
        self.open = 0
        self._seed = seed

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.open += 1
        try:
            while await self._answer_one(reader, writer):
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        body = json.loads(await reader.readexactly(int(length[1]))) if length else {}
        call = str(re.search(r"x-call: (\S+)", head, re.IGNORECASE)[1])  # type: ignore[index]
        path = head.split()[1].removeprefix("/v1")
        kind = self._kind(call)
        self.served[call].append(kind)
        if kind == "silence":
            await reader.read()
            return False
        if kind == "drop":
            return False
        sent = answer(kind, path, call, body)
        if kind == "drop in the body":
            writer.write(sent[: len(sent) * 2 // 3])
            await writer.drain()
            return False
        writer.write(sent)
        return True

    def _kind(self, call: str) -> str:
        chance = random.Random(f"{self._seed} {call} {len(self.served[call])}")
        return chance.choice(list(ERRORS)) if chance.random() < FAILING else "ok"


def answer(kind: str, path: str, call: str, body: dict[str, Any]) -> bytes:
    if kind.startswith(("429", "500", "503")):
        wait = f"retry-after-ms: {10 + len(call)}\r\n" if "wait" in kind else ""
        return message(kind[:3], JSON, json.dumps({"error": {"code": "chaos", "message": "no"}}), wait)
    if kind == "a page":
        return message("200", HTML, "<html>Bad gateway</html>")
    if kind == "no choices":
        return message("200", JSON, json.dumps({"error": {"code": "chaos"}, "object": "nothing"}))
    if body.get("stream"):
        events = stream_events(call)
        if kind == "half the JSON":
            events[2] = events[2][:20]
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(event), event) for event in [*events, b""])
        return HEAD.format("200", EVENTS, "transfer-encoding: chunked\r\n").encode() + chunks
    text = json.dumps(whole_answer(path, call, body))
    return message("200", JSON, text[: len(text) // 2] if kind == "half the JSON" else text)


def message(status: str, kind: str, text: str, headers: str = "") -> bytes:
    return HEAD.format(status, kind, f"content-length: {len(text)}\r\n{headers}").encode() + text.encode()


def whole_answer(path: str, call: str, body: dict[str, Any]) -> dict[str, Any]:
    if path == "/embeddings":
        return {
            "object": "list",
            "model": body["model"],
            "data": [{"object": "embedding", "index": 0, "embedding": [float(call)]}],
            "usage": {"prompt_tokens": 3, "total_tokens": 3},
        }
    text = json.dumps({"call": call})
    if path == "/responses":
        part = {"type": "output_text", "text": text, "annotations": []}
        item = {"id": "m", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
        usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
        return {"id": "r", "object": "response", "status": "completed", "model": body["model"], "output": [item]} | {
            "usage": usage
        }
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return {"id": "c", "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}


def stream_events(call: str) -> list[bytes]:
    text = json.dumps({"call": call})
    deltas: list[tuple[dict[str, Any], str | None]] = [({"content": piece}, None) for piece in text]
    events = [
        {
            "id": "c",
            "object": "chat.completion.chunk",
            "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        }
        for delta, reason in [*deltas, ({}, "stop")]
    ]
    return [b"data: %s\n\n" % json.dumps(event).encode() for event in events] + [b"data: [DONE]\n\n"]


@contextmanager
def running(server: Server) -> Iterator[str]:
    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(asyncio.start_server(server.talk, "127.0.0.1", 0, backlog=1_000))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        listening.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.close()


def client_for(url: str, records: list[CallRecord]) -> AsyncOpenAI:
    """The stack of the README, with waits that suit a benchmark."""
    return AsyncOpenAI(
        base_url=url,
        api_key=KeyRing("sk-chaos-key-number-one", "sk-chaos-key-number-two"),
        timeout=httpx2.Timeout(30, read=0.3),
        middleware=[
            UsageLog(sinks=[records.append]),
            Budget(daily_tokens=10**9, per="user"),
            Context(),
            Route(Rule(MODELS[1], max_input_tokens=10, tools=False), dry_run=True),
            Fallback(MODELS[1]),
            Timeouts(total=20, first_token=10, between_tokens=10),
            CircuitBreaker(failures=10_000),
            Retry(max_retries=RETRIES, first_wait=0.01, max_wait=0.05),
            RateLimit(requests_per_minute=600_000, tokens_per_minute=60_000_000, max_concurrency=200),
        ],
    )


async def ask(client: AsyncOpenAI, surface: str, call: str) -> str:
    """What one call answers: the number it was sent with, if all is well."""
    headers = {"x-call": call}
    messages: Any = [{"role": "user", "content": f"this is call {call}"}]
    chat: Any = {"model": MODELS[0], "messages": messages, "extra_headers": headers}
    if surface == "embeddings":
        vectors = await client.embeddings.create(
            model="text-embedding-3-small", input=call, encoding_format="float", extra_headers=headers
        )
        return str(int(vectors.data[0].embedding[0]))
    if surface == "parse":
        parsed = await client.chat.completions.parse(**chat, response_format=Answer)
        return str(parsed.choices[0].message.parsed and parsed.choices[0].message.parsed.call)
    if surface == "responses":
        response = await client.responses.create(model=MODELS[0], input=messages[0]["content"], extra_headers=headers)
        return str(json.loads(response.output_text)["call"])
    if surface == "stream":
        stream: Any = await client.chat.completions.create(**chat, stream=True)
        chunks = [chunk async for chunk in stream]
        return str(json.loads("".join(chunk.choices[0].delta.content or "" for chunk in chunks))["call"])
    if surface == "raw":
        raw = await client.chat.completions.with_raw_response.create(**chat)
        return str(json.loads(raw.parse().choices[0].message.content or "")["call"])
    whole = await client.chat.completions.create(**chat)
    return str(json.loads(whole.choices[0].message.content or "")["call"])


def fault(surface: str, call: str, served: list[str], outcome: Any) -> str | None:
    """What is wrong with how a call ended; None when it is right."""
    if len(served) > (1 + RETRIES) * (1 if surface == "embeddings" else 2):
        return f"sent {len(served)} times"
    if isinstance(outcome, str):
        return None if outcome == call else f"the answer of call {outcome}"
    if "ok" in served:
        return f"{outcome!r} after a right answer"
    return None if any(isinstance(outcome, ERRORS[kind]) for kind in served) else f"{outcome!r} after {served}"


def memory() -> int:
    """Bytes resident."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def storm(url: str, server: Server, calls: range, at_once: int) -> tuple[list[str], collections.Counter[str]]:
    """The faults found, and how many calls ended how."""
    records: list[CallRecord] = []
    faults: list[str] = []
    ends: collections.Counter[str] = collections.Counter()
    places = asyncio.Semaphore(at_once)
    before = len(asyncio.all_tasks())

    async def one(number: int) -> None:
        surface, call = SURFACES[number % len(SURFACES)], str(number)
        async with places:
            outcome: Any
            try:
                with llmkit.tags(user=f"user-{number % 7}"):
                    outcome = await asyncio.wait_for(ask(client, surface, call), 60)
            except Exception as error:  # noqa: BLE001 - which it is, is what is checked
                outcome = error
        ends["right answer" if isinstance(outcome, str) else type(outcome).__name__] += 1
        if (wrong := fault(surface, call, server.served[call], outcome)) is not None:
            faults.append(f"call {call} ({surface}): {wrong}")

    async with client_for(url, records) as client:
        await asyncio.gather(*(one(number) for number in calls))
        attempts = sum(record.attempts for record in records)
    sent = sum(len(server.served[str(number)]) for number in calls)
    if len(records) != len(calls) or attempts != sent:
        faults.append(f"{len(records)} records of {len(calls)} calls, {attempts} attempts noted of {sent} sent")
    for _ in range(100):
        if server.open == 0 and len(asyncio.all_tasks()) == before:
            break
        await asyncio.sleep(0.02)
    else:
        faults.append(f"{server.open} connections and {len(asyncio.all_tasks()) - before} tasks are left")
    return faults, ends


def main() -> None:
    """Run the storm in ten parts and say what was found; exit status 1 for any fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--at-once", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    server, faults, sizes = Server(given.seed), list[str](), list[int]()
    ends: collections.Counter[str] = collections.Counter()
    began = time.perf_counter()
    with running(server) as url:
        part = max(1, given.calls // 10)
        for first in range(0, given.calls, part):
            some = range(first, min(first + part, given.calls))
            found, ended = asyncio.run(storm(url, server, some, given.at_once))
            faults += found
            ends += ended
            gc.collect()
            sizes.append(memory())
    kinds = collections.Counter(kind for kinds in server.served.values() for kind in kinds)
    print(f"{given.calls} calls, {kinds.total()} requests in {time.perf_counter() - began:.1f} s")
    print("the server's doings:", dict(kinds.most_common()))
    print("how the calls ended:", dict(ends.most_common()))
    print("memory in MB:", [round(size / 2**20, 1) for size in sizes])
    if len(sizes) > 4 and sizes[-1] - sizes[len(sizes) // 2] > 8 * 2**20:
        faults.append("memory grows")
    print(f"{len(faults)} faults", *faults[:20], sep="\n  ")
    sys.exit(bool(faults))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
