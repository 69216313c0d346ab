"""examples/fastapi_stream.py as it is run by hand: in its own process, with real HTTP and WebSocket clients."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import httpx2
import pytest
from devtools import CHROMIUM, browser_tab
from websockets.asyncio.client import connect

SCRIPT = Path(__file__).parent.parent / "examples" / "fastapi_stream.py"
SHORT = "What are streams? 世界"
LONG = "the stream of consciousness, " * 100
CUT = r'"complete": false'
WHOLE = r'"event": "OpenAI tokens'


class Example:
    """The running example: where it is, and its log line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address = self.logged(r"running on http://([\d.:]+)")

    def logged(self, pattern: str) -> str:
        """Read the log up to the first line with `pattern`; its first group, if it has one."""
        assert self._process.stderr is not None
        seen: list[str] = []
        for line in self._process.stderr:
            seen.append(line)
            if found := re.search(pattern, line):
                return found[found.re.groups]
        raise AssertionError(f"the example ended: {seen}")


@pytest.fixture(scope="module")
def example() -> Generator[Example, None, None]:
    environment = {key: value for key, value in os.environ.items() if key != "OPENAI_API_KEY"} | {"PORT": "0"}
    with subprocess.Popen(
        [sys.executable, str(SCRIPT)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            assert "running on the embedded FakeOpenAI" in process.stdout.readline()
            yield Example(process)
        finally:
            process.terminate()
            process.communicate()


def text_of(event: str) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in json.loads(event)["choices"])


async def test_the_page_is_served(example: Example) -> None:
    async with httpx2.AsyncClient() as http:
        page = await http.get(f"http://{example.address}/")
    assert "<title>Streaming with llmkit</title>" in page.text


async def test_the_answer_comes_as_server_sent_events(example: Example) -> None:
    async with httpx2.AsyncClient() as http:
        response = await http.get(f"http://{example.address}/sse", params={"prompt": SHORT})
    events = [block.removeprefix("data: ") for block in response.text.split("\n\n")]
    assert events[-2:] == ["[DONE]", ""]
    assert "".join(map(text_of, events[:-2])) == f"You said: {SHORT}"
    example.logged(WHOLE)


async def test_answers_come_over_a_websocket_one_after_the_other(example: Example) -> None:
    async with connect(f"ws://{example.address}/ws") as websocket:
        for prompt in (SHORT, "And?"):
            await websocket.send(prompt)
            events = [str(await websocket.recv())]
            while events[-1] != '{"type":"done"}':
                events.append(str(await websocket.recv()))
            assert "".join(map(text_of, events[:-1])) == f"You said: {prompt}"
            example.logged(WHOLE)


async def test_a_client_that_leaves_ends_the_call(example: Example) -> None:
    url = f"http://{example.address}/sse"
    async with httpx2.AsyncClient() as http, http.stream("GET", url, params={"prompt": LONG}) as response:
        await anext(response.aiter_bytes())
    example.logged(CUT)
    async with connect(f"ws://{example.address}/ws") as websocket:
        await websocket.send(LONG)
        await websocket.recv()
    example.logged(CUT)


def click(button: str, prompt: str, until: str) -> str:
    """JavaScript: ask with a button, and the answer shown once the page's `until` is true."""
    return f"""new Promise(resolve => {{
        const shown = () => document.getElementById("answer").textContent;
        const status = () => document.getElementById("status").textContent;
        new MutationObserver(() => {{ if ({until}) resolve(shown()); }})
            .observe(document.body, {{ childList: true, subtree: true, characterData: true }});
        document.getElementById("prompt").value = {json.dumps(prompt)};
        document.getElementById({json.dumps(button)}).click();
    }})"""


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
async def test_a_browser_shows_the_answers_and_ends_the_call_when_its_tab_is_closed(
    example: Example, tmp_path: Path
) -> None:
    async with browser_tab(f"http://{example.address}/", tmp_path) as tab:
        for button, done in (("sse", "Done, over SSE."), ("ws", "Done, over WebSocket.")):
            assert await tab.run(click(button, SHORT, f"status() === '{done}'")) == f"You said: {SHORT}"
            example.logged(WHOLE)
        for button in ("sse", "ws"):  # the second click leaves the first answer
            assert "You said: the" in await tab.run(click(button, LONG, "shown().length > 20"))
        example.logged(CUT)
        assert tab.complaints == []
        await tab.close()
        example.logged(CUT)
