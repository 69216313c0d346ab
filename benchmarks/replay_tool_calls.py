"""Recorded streamed bodies, served over a socket and cut at random bytes: are the gathered answers those recorded?

Usage: python benchmarks/replay_tool_calls.py FOLDER [--cuts 5]
FOLDER holds index.json (a list of {"file", "api": "chat" | "responses", ...}) and the bodies as text files.

For each body and each cut: tool calls and text as `collect` gives them (or the partial answer, where the recording
ends early) beside those read from the body's JSON by other code: for Responses the final object in the body, which is
also compared with what the events before it add up to; for Chat the fragments by (choice, index). Chat is compared
with the SDK's own accumulation, too. Ends with the cost of a long stream. Exits 1 on any difference.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import Any

import openai
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from replay_streams import Server

import llmkit
from llmkit.streaming.gather import ChatGatherer, ResponseGatherer, collect
from llmkit.streaming.interrupted import StreamInterrupted

CALLS = {"function_call": "arguments", "mcp_call": "arguments", "custom_tool_call": "input"}
LAST = {"response.completed", "response.incomplete", "response.failed"}
OF_THE_SDK = {"parsed", "parsed_arguments", "index", "obfuscation"}


def recorded(body: bytes) -> list[dict[str, Any]]:
    """The events in a body, up to where it is not JSON any more or reports an error."""
    events: list[dict[str, Any]] = []
    for block in re.split(r"\r?\n\r?\n", body.decode(errors="replace")):
        lines = [line[5:].strip() for line in block.splitlines() if line.startswith("data:")]
        data = "\n".join(lines)
        if data == "[DONE]":
            break
        if not data:
            continue
        try:
            event = json.loads(data)
        except ValueError:
            break
        if event.get("error"):
            break
        events.append(event)
    return events


def said_in_chat(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Texts by choice, and calls by (choice, index): plain addition, for streams that are well formed."""
    texts: dict[int, str] = {}
    calls: dict[tuple[int, int], list[str]] = {}
    for choice in (choice for chunk in chunks for choice in chunk.get("choices") or []):
        delta, index = choice.get("delta") or {}, choice.get("index", 0)
        texts[index] = texts.get(index, "") + (delta.get("content") or "")
        for call in delta.get("tool_calls") or []:
            kept = calls.setdefault((index, call.get("index", 0)), ["", "", ""])
            function = call.get("function") or {}
            kept[0] = kept[0] or call.get("id") or ""
            kept[1] = kept[1] or function.get("name") or ""
            kept[2] += function.get("arguments") or ""
    return {"texts": texts, "calls": [(place[0], *calls[place]) for place in sorted(calls)]}


def gathered_in_chat(completion: ChatCompletion) -> dict[str, Any]:
    """The same of a completion."""
    calls: list[Any] = []
    for choice in completion.choices:
        for call in choice.message.tool_calls or []:
            function: Any = getattr(call, "function", None)
            calls.append((choice.index, call.id, function.name, function.arguments))
    return {"texts": {choice.index: choice.message.content or "" for choice in completion.choices}, "calls": calls}


def said_in_response(response: dict[str, Any]) -> dict[str, Any]:
    """The text and the calls of a Response as data."""
    output: list[dict[str, Any]] = response.get("output") or []
    parts = [part for item in output if item["type"] == "message" for part in item.get("content") or []]
    return {
        "text": [part.get("text") or part.get("refusal") for part in parts],
        "calls": [
            (item["type"], item.get("call_id") or item.get("id"), item["name"], item[CALLS[item["type"]]])
            for item in output
            if item["type"] in CALLS
        ],
    }


async def answer_of(client: openai.AsyncOpenAI, api: str) -> Any:
    """What `collect` makes of the body; what it had when the recording broke off."""
    if api == "chat":
        options: Any = {"stream_options": {"include_usage": True}}
        stream: Any = await client.chat.completions.create(model="m", messages=[], stream=True, **options)
    else:
        stream = await client.responses.create(model="m", input="", stream=True)
    try:
        return await collect(stream)
    except StreamInterrupted as error:
        return error.partial
    except (openai.APIError, ValueError):  # the API's own error, or not one event that the SDK can read
        return None


def chat_differences(answer: ChatCompletion, events: list[dict[str, Any]]) -> list[str]:
    """What `collect` got wrong."""
    said = said_in_chat(events)
    ids = [call[1] for call in said["calls"]]
    gathered = gathered_in_chat(answer)
    if not all(ids) or len(set(ids)) < len(ids):  # the reference knows well-formed calls only
        return []
    return [name for name in said if said[name] != gathered[name]]


def response_differences(answer: Any, events: list[dict[str, Any]]) -> list[str]:
    """What `collect` got wrong, and what the events before the last would have given."""
    finals = [event["response"] for event in events if event.get("type") in LAST]
    if not finals:
        return []
    gatherer = ResponseGatherer()
    for event in events:
        if event.get("type") not in LAST:
            gatherer.add(event)
    said = said_in_response(finals[-1])
    whole, built = said_in_response(answer.to_dict()), said_in_response(gatherer.response.to_dict())
    if not finals[-1].get("output"):
        return [] if whole == built else ["recovered output"]
    return [name for name in said if said[name] != whole[name]] + [
        f"{name} built from the events" for name in said if said[name] != built[name]
    ]


def sdk_differences(events: list[dict[str, Any]]) -> list[str]:
    """Fields in which the SDK's accumulation differs from ours."""
    state, gatherer = ChatCompletionStreamState[None](), ChatGatherer()
    for event in events:
        chunk = ChatCompletionChunk.construct(None, **event)
        gatherer.add(chunk)
        try:
            state.handle_chunk(chunk)
        except Exception as error:  # noqa: BLE001 - whatever the SDK cannot add up
            return [f"the SDK raises {type(error).__name__}"]
    ours, theirs = gatherer.completion.to_dict(), state.current_completion_snapshot.to_dict()
    return sorted(_paths(_pruned(theirs), _pruned(ours)))


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(item) for key, item in value.items() if key not in OF_THE_SDK and item is not None}
    return [_pruned(item) for item in value] if isinstance(value, list) else value


def _paths(theirs: Any, ours: Any, path: str = "") -> set[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = set(theirs) | set(ours)
        return {found for key in keys for found in _paths(theirs.get(key), ours.get(key), f"{path}.{key}")}
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        return {found for pair in zip(theirs, ours, strict=True) for found in _paths(*pair, f"{path}[]")}
    if theirs == ours:
        return set()
    return {f"{path} {'lost by the SDK' if theirs is None else 'lost here' if ours is None else 'differs'}"}


def cost(chunks: int) -> None:
    """Print microseconds a chunk for a long answer, ours and the SDK's."""
    stream = [
        ChatCompletionChunk.construct(
            None, id="c", model="m", created=1, object="chat.completion.chunk",
            choices=[{"index": 0, "delta": {"content": "word " * 3}, "finish_reason": None}],
        )
        for _ in range(chunks)
    ]  # fmt: skip
    for name, add in (("llmkit", ChatGatherer().add), ("SDK", ChatCompletionStreamState[None]().handle_chunk)):
        start = perf_counter()
        for chunk in stream:
            add(chunk)
        print(f"{name}: {(perf_counter() - start) / chunks * 1e6:.1f} us a chunk, {chunks} chunks")


async def main(folder: Path, cuts: int) -> int:
    """Replay all; the number of differences."""
    server = Server()
    listener = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    clients = [
        openai.AsyncOpenAI(api_key="sk-fake", base_url=url, max_retries=0),
        llmkit.AsyncOpenAI(api_key="sk-fake", base_url=url, max_retries=0, middleware=[]),
    ]
    totals: Counter[str] = Counter()
    beside_sdk: Counter[str] = Counter()
    for entry in json.loads((folder / "index.json").read_text()):
        server.body = (folder / entry["file"]).read_bytes()
        events, chat = recorded(server.body), entry["api"] == "chat"
        totals["bodies"] += 1
        finals = [event["response"] for event in events if event.get("type") in LAST]
        said = said_in_chat(events) if chat else said_in_response(finals[-1] if finals else {})
        totals["recorded calls"] += len(said["calls"])
        totals["Responses bodies without a last event"] += not chat and not finals
        if chat:
            beside_sdk.update(sdk_differences(events) or ["equal"])
        for server.seed in range(cuts):
            for client in clients:
                answer = await answer_of(client, entry["api"])
                if answer is None:
                    totals["runs ended by an error of the API or unreadable from the start"] += 1
                    continue
                totals["runs compared"] += 1
                found = (chat_differences if chat else response_differences)(answer, events)
                totals["differences"] += len(found)
                for name in found:
                    print("DIFFERENT", name, entry["file"], "seed", server.seed)
    print(dict(totals))
    print("beside the SDK's accumulation:", dict(beside_sdk))
    listener.close()
    for client in clients:
        await client.close()
    return totals["differences"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cuts", type=int, default=5)
    options = parser.parse_args()
    wrong = asyncio.run(main(options.folder, options.cuts))
    cost(20_000)
    sys.exit(bool(wrong))
