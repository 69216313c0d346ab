"""Imports go downwards only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import llmkit

ROOT = Path(llmkit.__file__).parent

# Lower layers first; a module may import from its own line and from those above it in this list.
LAYERS = [
    {"_lazy", "errors", "fields", "figures", "forks", "pauses", "runtime", "tokens", "unseen"},
    {"usage.prices", "usage.rates", "usage.tokens", "usage.totals"},
    {
        "scopes",
        "retries",
        "deadlines",
        "fallbacks",
        "breaker",
        "embedding_batches",
        "streaming.sse",
        "streaming.received",
    },
    {"tagging"},
    {"streaming.surrogates", "context", "prompts"},
    {"tools"},
    {"record"},
    {"usage.looks"},
    {"request", "log", "streaming", "structure", "guidance"},
    {"sync", "_sdk", "expected", "redis_server", "sqlite_lanes", "stream_usage"},
    {"sqlite_file"},
    {"usage.billing"},
    {"attempt", "limits", "keys", "budgets", "cache", "telemetry", "usage"},
    {"fast", "middleware", "server_count", "tools.loop", "transport"},
    {"conversation", "batches", "cache.warming"},
    {"call"},
    {"client"},
    {"testing"},
    {"cli"},
    {"__main__"},
]
PURE = {
    "breaker",
    "cache.answers",
    "cache.entry",
    "cache.key",
    "cache.packing",
    "cache.replay",
    "cache.replay_chat",
    "cache.semantic.agreement",
    "cache.semantic.fingerprint",
    "cache.semantic.guards",
    "cache.semantic.numerals",
    "cache.semantic.question",
    "cache.stats",
    "embedding_batches",
    "errors",
    "fallbacks",
    "fields",
    "limits.bucket",
    "pauses",
    "retries",
    "tokens.estimate",
    "streaming.sse",
    "streaming.surrogates",
    "telemetry.answered",
    "telemetry.asked",
    "telemetry.messages",
    "telemetry.names",
    "unseen",
    "usage.postgres_table",
    "usage.rates",
    "usage.report.details",
    "usage.report.figures",
    "usage.rows",
    "usage.rules",
    "usage.tokens",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").rstrip(".")
        if name:
            yield name, ast.parse(path.read_text())


MODULES = dict(modules())


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(module: str) -> int:
    """The layer of "streaming.sse" is its own if it has one, else that of "streaming"."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        for level, names in enumerate(LAYERS):
            if ".".join(parts[:length]) in names:
                return level
    raise AssertionError(f"llmkit.{module} is in no layer: add it to LAYERS")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_nothing_from_above(module: str) -> None:
    for target in imports(MODULES[module]):
        if target.startswith("llmkit."):
            inner = target.removeprefix("llmkit.")
            assert layer_of(inner) <= layer_of(module), f"llmkit.{module} imports llmkit.{inner}"


def test_middleware_never_imports_middleware() -> None:
    for module, tree in MODULES.items():
        if module.startswith("middleware."):
            assert not [target for target in imports(tree) if target.startswith("llmkit.middleware")]


@pytest.mark.parametrize("module", sorted(PURE))
def test_a_pure_module_has_no_await_no_clock_and_no_waiting(module: str) -> None:
    tree = MODULES[module]
    assert not {"asyncio", "anyio", "time", "threading"} & set(imports(tree))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Await | ast.AsyncFunctionDef)]


def test_only_one_file_touches_the_sdks_private_modules() -> None:
    private = [
        module
        for module, tree in MODULES.items()
        if any(target.startswith("openai._") or ".openai._" in target for target in imports(tree))
    ]
    assert private == ["_sdk"]
