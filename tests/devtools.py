"""A headless Chromium driven over its DevTools protocol, for tests of what a browser shows."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium")
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
]
_PATIENCE = 30.0
"""Seconds without a word of the browser's, after which it is stuck."""


class Tab:
    """One open page; `complaints` are the errors and warnings of its console, `requests` all it has asked for."""

    def __init__(self, connection: ClientConnection) -> None:
        self.complaints: list[Any] = []
        self.requests: list[str] = []
        self._connection = connection
        self._numbers = count(1)
        self._target: dict[str, Any] = {}
        self._session: dict[str, Any] = {}

    async def open(self, url: str) -> None:
        """Load a page and wait until it is there."""
        created = await self._command("Target.createTarget", url="about:blank")
        self._target = {"targetId": created["targetId"]}
        attached = await self._command("Target.attachToTarget", **self._target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Runtime", "Log", "Page", "Network"):
            await self._command(f"{domain}.enable")
        await self.go(url)

    async def go(self, url: str) -> None:
        """Load another page in place of this one."""
        await self._command("Page.navigate", url=url)
        while (await self._message()).get("method") != "Page.loadEventFired":
            pass

    async def look(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """Have a screen of this size and kind."""
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        await self._command("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self._command("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self, path: Path) -> None:
        """Write the whole page as a PNG, also what is below the screen."""
        taken = await self._command("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))

    async def run(self, script: str) -> Any:
        """The value of a piece of JavaScript, awaited if it is a promise."""
        answer = await self._command("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def close(self) -> None:
        """Close the page, as a user does."""
        self._session = {}
        await self._command("Target.closeTarget", **self._target)

    async def _command(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters, **self._session}
        await self._connection.send(json.dumps(command))
        while (message := await self._message()).get("id") != number:
            pass
        return message["result"]

    async def _message(self) -> Any:
        async with asyncio.timeout(_PATIENCE):
            message = json.loads(await self._connection.recv())
        method, facts = message.get("method"), message.get("params", {})
        logged = facts.get("entry", {}).get("level") or (method == "Runtime.consoleAPICalled" and facts["type"])
        if method == "Runtime.exceptionThrown" or logged in ("error", "warning"):
            self.complaints.append(facts)
        if method == "Network.requestWillBeSent":
            self.requests.append(facts["request"]["url"])
        return message


@asynccontextmanager
async def browser_tab(url: str, profile: Path) -> AsyncGenerator[Tab]:
    """A new browser that shows `url`."""
    command = [str(CHROMIUM), *_FLAGS, f"--user-data-dir={profile}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as browser:
        try:
            assert browser.stderr is not None
            lines = (re.search(r"DevTools listening on (ws://\S+)", line) for line in browser.stderr)
            endpoint = next(found[1] for found in lines if found)
            async with connect(endpoint, max_size=None) as connection:
                tab = Tab(connection)
                await tab.open(url)
                yield tab
        finally:
            browser.terminate()
            browser.communicate()
