"""Chat Completions: messages, with tools and response format joined to the system message."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final

from llmkit.tokens.calls import Call, call_tokens, results_tokens, together_tokens
from llmkit.tokens.plain import listed, plain_mapping
from llmkit.tokens.prefix import PREFIXES, Counted, Prefix
from llmkit.tokens.sections import add_choice, add_format, add_tools, tool_texts
from llmkit.tokens.tally import Tally

MESSAGE: Final = 4
RESULT: Final = 6
ROLES: Final = ("assistant", "developer", "function", "system", "tool", "user")


def add_chat(tally: Tally, body: Mapping[str, Any]) -> None:
    """Add the body of a `chat.completions` request."""
    messages, functions = listed(body.get("messages"), "messages"), body.get("functions")
    legacy = [{"function": function} for function in listed(functions, "functions")]
    texts = tool_texts(legacy or body.get("tools"), chat=True)
    leading = _leading(tally, messages)
    joined = add_tools(tally, texts, chat=True, leading=leading)
    header = add_format(tally, body.get("response_format"), chat=True, joined=joined, texts=texts)
    add_choice(tally, body.get("function_call" if legacy else "tool_choice"), texts, chat=True)
    if body.get("web_search_options") is not None:
        tally.doubt("web search")
    _add_messages(tally, messages, header)


def _leading(tally: Tally, messages: Sequence[object]) -> str | None:
    """Return the text of a system or developer message at the start, None if there is none."""
    if not messages:
        return None
    first = plain_mapping(messages[0], "messages", 0)
    return tally.leading(first.get("content")) if first.get("role") in ("system", "developer") else None


def _add_messages(tally: Tally, messages: Sequence[Any], header: int) -> None:
    """Add every message; `header` is what a response format adds to an assistant's."""
    history = _History(tally, MESSAGE + tally.family.assistant + header)
    prefix = PREFIXES.grown(messages)
    if prefix is not None:
        _add_prefix(tally, history, prefix, (id(tally.family), id(tally.costs), tally.memory.vocabulary, header))
    counted = len(tally.per_message)
    _add(tally, history, messages[counted:] if counted else messages, counted)
    history.close()


def _add_prefix(tally: Tally, history: _History, prefix: Prefix, way: Hashable) -> None:
    """Add a beginning of the messages, of which only what is new since the last time is counted."""
    known = prefix.counted.get(way)
    if known is not None:
        tally.per_message.extend(known.figures)
        history.names.update(known.names)
    start, doubts = len(tally.per_message), len(tally.reasons)
    if start == len(prefix.messages):
        return
    _add(tally, history, prefix.messages[start:], start)
    if len(tally.reasons) == doubts and not tally.images:
        prefix.keep(way, Counted(list(tally.per_message), dict(history.names)))


def _add(tally: Tally, history: _History, messages: Sequence[Any], start: int) -> None:
    """Add messages, of which the first has the index `start`.

    Messages seen before that have only a role and a string cost a dictionary look-up here, and nothing else.
    """
    known, figures = tally.memory.young, tally.per_message
    fixed = {"system": MESSAGE, "developer": MESSAGE, "user": MESSAGE, "assistant": history.assistant_cost}
    for index, message in enumerate(messages, start):
        if message.__class__ is not dict:
            message = plain_mapping(message, "messages", index)
        elif len(message) == 2:
            try:
                figures.append(known[message["content"]] + fixed[message["role"]])
            except (KeyError, TypeError):
                pass  # seen for the first time, or not as plain as it looks
            else:
                if history.results is not None:
                    history.close()
                continue
        figures.append(history.message(message, index))


class _History:
    """Tool calls and the results that belong to them."""

    __slots__ = ("_results_at", "_tally", "assistant_cost", "names", "results")

    def __init__(self, tally: Tally, assistant_cost: int) -> None:
        self._tally = tally
        self.assistant_cost = assistant_cost
        self.names: dict[str, str] = {}
        self.results: list[str] | None = None  # of calls made together, while they follow
        self._results_at = 0

    def close(self) -> None:
        """End the results of calls made together; they count with the first of them."""
        if self.results:
            self._tally.per_message[self._results_at] = results_tokens(self._tally, self.results)
        self.results = None

    def message(self, message: Mapping[str, Any], index: int) -> int:
        """Return the tokens of one message."""
        role = message.get("role")
        if role in ("tool", "function"):
            return self._result(message, index)
        self.close()
        if role == "assistant":
            return self._assistant(message, index)
        if not isinstance(role, str):
            raise ValueError(f"messages[{index}] has the role {role!r}: give one of {', '.join(ROLES)}")
        if role not in ROLES:
            self._tally.doubt(f"the role {role!r}")
        return MESSAGE + self._tally.content(message.get("content"), index) + self._name(message)

    def _name(self, message: Mapping[str, Any]) -> int:
        name = message.get("name")
        return self._tally.memory.text(f":{name}") if name else 0

    def _assistant(self, message: Mapping[str, Any], index: int) -> int:
        calls = self._calls(message, index)
        if message.get("audio"):
            self._tally.doubt("audio")
        content = message.get("content") or message.get("refusal")
        total = self._name(message)
        if content or not calls:
            total += self.assistant_cost + self._tally.content(content, index)
        if not calls:
            return total
        if len(calls) == 1:
            return total + call_tokens(self._tally, calls[0])
        self.results, self._results_at = [], index + 1
        return total + together_tokens(self._tally, calls, ",")

    def _calls(self, message: Mapping[str, Any], index: int) -> Sequence[Call]:
        legacy = message.get("function_call")
        if legacy:
            return [_call(plain_mapping(legacy, "the function_call of messages", index))]
        items = message.get("tool_calls")
        if not items:
            return ()
        found: list[Call] = []
        for item in listed(items, "the tool_calls of messages", index):
            item = plain_mapping(item, "a tool call of messages", index)
            function: Any = item.get("function")
            call = _call(function) if function.__class__ is dict else _other_call(item, index)
            self.names[str(item.get("id"))] = call[0]
            found.append(call)
        return found

    def _result(self, message: Mapping[str, Any], index: int) -> int:
        content = message.get("content")
        if self.results is not None and isinstance(content, str):
            self.results.append(content)
            return 0
        name = self.names.get(str(message.get("tool_call_id"))) or message.get("name")
        if not isinstance(name, str):
            self._tally.doubt("a tool result without its call")
            name = ""
        return RESULT + self._tally.memory.text(name) + self._tally.content(content, index)


def _call(function: Mapping[str, Any]) -> Call:
    name, arguments = function.get("name"), function.get("arguments")
    return name if type(name) is str else str(name), arguments if type(arguments) is str else str(arguments or "")


def _other_call(item: Mapping[str, Any], index: int) -> Call:
    """Return the call of a custom tool, or of one of the SDK's objects."""
    custom = item.get("custom")
    inner = plain_mapping(custom or item.get("function") or {}, "the function of a tool call of messages", index)
    return _call({**inner, "arguments": inner.get("input")} if custom else inner)
