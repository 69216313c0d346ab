"""Recorded streamed bodies, served over a socket and cut at random bytes: llmkit beside the raw SDK.

Usage: python benchmarks/replay_streams.py FOLDER [--cuts 5]
FOLDER holds index.json (a list of {"file", "api": "chat" | "responses", ...}) and the bodies as text files.

Compares, for each body and each cut, the events (or the exception) seen through both clients, and checks that
usage is recorded wherever the body carries it. Prints a line of totals; exits 1 on any difference.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import sys
from pathlib import Path
from typing import Any

import openai

import llmkit
from llmkit import CallRecord, UsageLog

USAGE = re.compile(rb'"usage"\s*:\s*\{[^{}]*"(?:prompt|input)_tokens"\s*:\s*(\d+)')


class Server:
    """Answers every request with `body`, cut into chunks of 1 to 60 bytes, sizes seeded by `seed`."""

    body = b""
    seed = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send the body, chunk by chunk."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        await reader.readexactly(int(length[1]) if length else 0)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        sizes, position = random.Random(self.seed), 0
        while position < len(self.body):
            piece = self.body[position : position + sizes.randint(1, 60)]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            position += len(piece)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        writer.close()


async def events_of(client: openai.AsyncOpenAI, api: str, *, usage: bool) -> list[Any]:
    """The events as plain data, with the exception that ended them, if any."""
    seen: list[Any] = []
    try:
        if api == "chat":
            options: Any = {"stream_options": {"include_usage": True}} if usage else {}
            stream: Any = await client.chat.completions.create(model="m", messages=[], stream=True, **options)
        else:
            stream = await client.responses.create(model="m", input="", stream=True)
        async for event in stream:
            seen.append((type(event).__name__, event.model_dump(exclude_unset=True), sorted(event.model_fields_set)))
    except Exception as error:  # noqa: BLE001 - whatever ends the stream is compared
        seen.append((type(error).__name__, str(error)))
    return seen


def without_usage_chunk(events: list[Any]) -> list[Any]:
    """What a caller who did not ask for usage sees of a body that was recorded with it."""
    kept: list[Any] = []
    for event in events:
        if len(event) == 2:
            kept.append(event)
            continue
        name, data, fields = event
        if data.get("choices") == [] and data.get("usage"):
            continue
        if data.get("usage", ...) is None:
            data = {key: value for key, value in data.items() if key != "usage"}
            fields = [field for field in fields if field != "usage"]
        kept.append((name, data, fields))
    return kept


async def lines_of(client: openai.AsyncOpenAI, api: str) -> list[str]:
    """The body line by line, as a caller without the SDK's stream reads it."""
    if api == "chat":
        options: Any = {"stream_options": {"include_usage": True}}
        opened: Any = client.chat.completions.with_streaming_response.create(
            model="m", messages=[], stream=True, **options
        )
    else:
        opened = client.responses.with_streaming_response.create(model="m", input="", stream=True)
    async with opened as response:
        return [line async for line in response.iter_lines()]


async def main(folder: Path, cuts: int) -> int:
    """Replay all; the number of differences."""
    server = Server()
    listener = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    base_url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    records: list[CallRecord] = []
    raw = openai.AsyncOpenAI(api_key="sk-fake", base_url=base_url, max_retries=0)
    kit = llmkit.AsyncOpenAI(
        api_key="sk-fake", base_url=base_url, max_retries=0, middleware=[UsageLog(sinks=[records.append])]
    )
    bodies = compared = with_usage = unreadable = differences = 0
    for entry in json.loads((folder / "index.json").read_text()):
        server.body = (folder / entry["file"]).read_bytes()
        bodies += 1
        billed = [int(number) for number in USAGE.findall(server.body)]
        for server.seed in range(cuts):
            expected = await events_of(raw, entry["api"], usage=True)
            shown = await events_of(kit, entry["api"], usage=True)
            hidden = await events_of(kit, entry["api"], usage=False)
            by_line = await lines_of(kit, entry["api"])
            compared += 3
            if by_line != await lines_of(raw, entry["api"]):
                differences += 1
                print("DIFFERENT LINES", entry["file"], "seed", server.seed)
            if shown != expected or hidden != (without_usage_chunk(expected) if entry["api"] == "chat" else expected):
                differences += 1
                print("DIFFERENT EVENTS", entry["file"], "seed", server.seed)
            readable = expected[-1][0] != "JSONDecodeError"
            for record in records if readable else records[2:]:
                if billed and (record.estimated or record.input_tokens != billed[-1]):
                    differences += 1
                    print("USAGE", entry["file"], record.input_tokens, "billed", billed[-1])
            if len(records) != 3:
                differences += 1
                print("RECORDS", entry["file"], len(records))
            records.clear()
        with_usage += bool(billed)
        unreadable += not readable
    print(
        f"{bodies} bodies ({unreadable} not readable by the SDK itself), {compared} comparisons, "
        f"{with_usage} bodies with usage, {differences} differences"
    )
    listener.close()
    await raw.close()
    await kit.close()
    return differences


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cuts", type=int, default=5)
    options = parser.parse_args()
    sys.exit(bool(asyncio.run(main(options.folder, options.cuts))))
