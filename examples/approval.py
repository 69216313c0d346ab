"""A person approves a payment, while the program may end and start again: the loop is saved to a file between.

With OPENAI_API_KEY set it talks to the API, without to FakeOpenAI; in a terminal you are the person.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from llmkit import Allow, AsyncOpenAI, Deny, Edit, ToolCall, ToolContext, ToolLoop, tool
from llmkit.testing import FakeOpenAI

PAID: dict[str, float] = {}
"""What the bank has done, by idempotency key: the same call never pays twice, whatever crashes."""


@tool
async def get_invoice(number: int) -> dict[str, Any]:
    """An unpaid invoice."""
    return {"number": number, "to": "Acme", "amount": 120.5}


@tool(needs_approval=True)
async def pay(to: str, amount: float, context: ToolContext) -> str:
    """Pay an amount in euros to somebody."""
    PAID.setdefault(context.call_id, amount)
    return f"Paid {amount:.2f} euros to {to}."


TOOLS = [get_invoice, pay]


def make_client() -> AsyncOpenAI:
    """The real API when there is a key, else the fake with the answers planned."""
    if os.environ.get("OPENAI_API_KEY"):
        print("OPENAI_API_KEY is set: calling the OpenAI API.")
        return AsyncOpenAI(middleware=[])
    print("No OPENAI_API_KEY: running on the embedded FakeOpenAI. Nothing leaves this machine.")
    fake = FakeOpenAI()
    fake.reply(tool_calls=[("get_invoice", {"number": 7})])
    fake.reply(tool_calls=[("pay", {"to": "Acme", "amount": 1205})])
    fake.reply("That is what came of invoice 7; ask me for anything else.")
    return fake.async_client(middleware=[])


def ask(call: ToolCall) -> Allow | Deny | Edit:
    """What the person at the terminal says of a call."""
    print(f"   The model wants {call.name}({call.arguments}).")
    if not sys.stdin.isatty():
        print("   (no terminal or no keyboard: the scripted person corrects the amount)")
        return Edit({**json.loads(call.arguments), "amount": 120.5})
    answer = input("   Run it? [y/N, another amount, or a reason not to] ").strip()
    with suppress(ValueError):
        return Edit({**json.loads(call.arguments), "amount": float(answer)})
    if answer.lower() in {"y", "yes"}:
        return Allow()
    return Deny("" if answer.lower() in {"n", "no"} else answer)


async def run(loop: ToolLoop, file: Path) -> None:
    """Iterate until the loop ends or waits, and keep its state in the file."""
    async with loop:
        async for step in loop:
            if step.type == "tool_result":
                print(f"   {step.call.name}: {step.text}")
            elif step.type == "final":
                print(f"   {step.text}")
    store(loop, file)


def store(loop: ToolLoop, file: Path) -> None:
    file.write_text(json.dumps(loop.save()))


def load(client: AsyncOpenAI, file: Path) -> ToolLoop:
    return ToolLoop.resume(client, json.loads(file.read_text()), tools=TOOLS)


async def main(file: Path) -> None:
    client = make_client()

    print("\n1. The model works until it needs a person")
    loop = ToolLoop(client, model="gpt-4o-mini", input="Pay invoice 7.", tools=TOOLS)
    await run(loop, file)

    while loop.waiting:
        print("\n2. Later, perhaps in another process: the loop comes back from its file")
        loop = load(client, file)
        await loop.submit({call.id: await asyncio.to_thread(ask, call) for call in loop.waiting})
        await run(loop, file)

    print(f"\nPaid in all: {sum(PAID.values()):.2f} euros in {len(PAID)} payment(s).")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(main(Path(temporary) / "loop.json"))
