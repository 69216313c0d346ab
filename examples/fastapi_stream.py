"""A model's answer streamed to a browser, over server-sent events and over a WebSocket.

`python examples/fastapi_stream.py` serves on http://127.0.0.1:8000 (PORT sets another port); it needs `fastapi`,
`uvicorn` and `websockets`. With OPENAI_API_KEY set it asks the API; without, FakeOpenAI, the test double that ships
with llmkit. A browser that goes away ends the call to the model: the log says `complete: false` then.
"""

from __future__ import annotations

import os

import uvicorn
from fastapi import FastAPI, WebSocket
from fastapi.responses import HTMLResponse, StreamingResponse
from openai import AsyncStream
from openai.types.chat import ChatCompletionChunk

from llmkit import AsyncOpenAI
from llmkit.streaming import SSE_HEADERS, coalesce, to_sse, to_websocket
from llmkit.testing import FakeOpenAI

MODEL = "gpt-4o-mini"

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<link rel="icon" href="data:,">
<title>Streaming with llmkit</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }
  form { display: flex; gap: .5rem }
  input { flex: 1; font: inherit; padding: .3rem .5rem }
  button { font: inherit }
  #answer { white-space: pre-wrap; min-height: 6rem; border: 1px solid #999; border-radius: .3rem; padding: .5rem 1rem }
</style>
<h1>Streaming with llmkit</h1>
<form>
  <input id="prompt" aria-label="Prompt" value="Tell me about streams.">
  <button id="sse" type="button">SSE</button>
  <button id="ws" type="button">WebSocket</button>
</form>
<p id="answer" aria-live="polite"></p>
<p id="status">Ready.</p>
<script>
  const $ = (id) => document.getElementById(id);
  const show = ({ choices }) => { $("answer").textContent += choices[0]?.delta.content ?? ""; };
  let leave = () => {};

  function begin(leaveThis) {
    leave();
    leave = leaveThis;
    $("answer").textContent = "";
    $("status").textContent = "Streaming ...";
  }

  function end(status) {
    leave();
    leave = () => {};
    $("status").textContent = status;
  }

  $("sse").onclick = () => {
    const source = new EventSource("/sse?prompt=" + encodeURIComponent($("prompt").value));
    begin(() => source.close());
    source.onmessage = ({ data }) => data === "[DONE]" ? end("Done, over SSE.") : show(JSON.parse(data));
    source.addEventListener("error", ({ data }) =>
      end("Broken off: " + (data ? JSON.parse(data).error.message : "no connection")));
  };

  $("ws").onclick = () => {
    const socket = new WebSocket(location.origin.replace("http", "ws") + "/ws");
    begin(() => { socket.onclose = null; socket.close(); });
    socket.onopen = () => socket.send($("prompt").value);
    socket.onclose = () => end("Broken off: no connection");
    socket.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      if (event.type === "done") end("Done, over WebSocket.");
      else if (event.type === "error") end("Broken off: " + event.error.message);
      else show(event);
    };
  };
</script>
"""


def make_client() -> AsyncOpenAI:
    """The real API when there is a key, else a fake that takes its time."""
    if os.environ.get("OPENAI_API_KEY"):
        print("OPENAI_API_KEY is set: calling the OpenAI API.", flush=True)
        return AsyncOpenAI()
    print("No OPENAI_API_KEY: running on the embedded FakeOpenAI. Nothing leaves this machine.", flush=True)
    return FakeOpenAI(delay=0.02).async_client()


app = FastAPI()
client = make_client()


async def ask(prompt: str) -> AsyncStream[ChatCompletionChunk]:
    """The model's answer, as a stream that somebody else closes."""
    return await client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": prompt}], stream=True
    )


@app.get("/")
async def page() -> HTMLResponse:
    return HTMLResponse(PAGE)


@app.get("/sse")
async def sse(prompt: str) -> StreamingResponse:
    events = to_sse(coalesce(await ask(prompt)))
    return StreamingResponse(events, media_type="text/event-stream", headers=SSE_HEADERS)


@app.websocket("/ws")
async def ws(websocket: WebSocket) -> None:
    await websocket.accept()
    async for prompt in websocket.iter_text():  # one answer for each message, until the browser leaves
        if not await to_websocket(coalesce(await ask(prompt)), websocket):
            break


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
