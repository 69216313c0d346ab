"""Prompts: few-shot examples, and compression that says what it saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit._lazy import lazy

if TYPE_CHECKING:
    from llmkit.prompts.compression import LOSSLESS, Compression, Step, compress
    from llmkit.prompts.examples import few_shot
    from llmkit.prompts.minify import minify_json
    from llmkit.prompts.repeats import drop_repeats
    from llmkit.prompts.stubs import stub_tool_results
    from llmkit.prompts.whitespace import squeeze_whitespace

__all__ = [
    "LOSSLESS",
    "Compression",
    "Step",
    "compress",
    "drop_repeats",
    "few_shot",
    "minify_json",
    "squeeze_whitespace",
    "stub_tool_results",
]

_HOME = {
    "llmkit.prompts.compression": ("LOSSLESS", "Compression", "Step", "compress"),
    "llmkit.prompts.examples": ("few_shot",),
    "llmkit.prompts.minify": ("minify_json",),
    "llmkit.prompts.repeats": ("drop_repeats",),
    "llmkit.prompts.stubs": ("stub_tool_results",),
    "llmkit.prompts.whitespace": ("squeeze_whitespace",),
}

__getattr__, __dir__ = lazy(globals(), _HOME)
