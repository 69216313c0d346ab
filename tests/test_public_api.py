from __future__ import annotations

import importlib.metadata
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import llmkit
import llmkit.batches
import llmkit.budgets
import llmkit.cache
import llmkit.cache.vectors
import llmkit.context
import llmkit.conversation
import llmkit.guidance
import llmkit.limits
import llmkit.prompts
import llmkit.streaming
import llmkit.testing
import llmkit.tokens
import llmkit.tools
import llmkit.tools.loop
import llmkit.usage.anomalies

PROJECT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "module",
    [
        llmkit,
        llmkit.batches,
        llmkit.budgets,
        llmkit.cache,
        llmkit.cache.vectors,
        llmkit.guidance,
        llmkit.limits,
        llmkit.testing,
        llmkit.tokens,
        llmkit.context,
        llmkit.conversation,
        llmkit.prompts,
        llmkit.streaming,
        llmkit.tools,
        llmkit.tools.loop,
        llmkit.usage.anomalies,
    ],
    ids=lambda module: module.__name__,
)
def test_the_front_door_is_sorted_and_everything_in_it_exists_and_is_documented(module: object) -> None:
    names: list[str] = module.__all__  # type: ignore[attr-defined]
    assert names == sorted(names, key=lambda name: (not name.isupper(), name))  # constants first
    assert set(names) <= set(dir(module))
    for name in names:
        thing = getattr(module, name)
        assert not inspect.isclass(thing) or inspect.getdoc(thing), name


def test_star_import_gives_what_is_promised() -> None:
    namespace: dict[str, object] = {}
    exec("from llmkit import *", namespace)
    assert set(llmkit.__all__) <= set(namespace)


def test_a_wrong_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="module 'llmkit' has no attribute 'Cache2'"):
        _ = llmkit.Cache2  # type: ignore[attr-defined]
    lazy = (llmkit.testing, llmkit.tokens, llmkit.context, llmkit.conversation, llmkit.prompts)
    for module in (*lazy, llmkit.limits, llmkit.budgets):
        with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'nothing'"):
            _ = module.nothing  # type: ignore[attr-defined]


def test_the_version_is_one_in_the_package_and_the_changelog() -> None:
    assert llmkit.__version__ == importlib.metadata.version("llmkit")
    newest = re.search(r"^## \[(\d[^\]]*)\]", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == llmkit.__version__


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-P", "-B", "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_llmkit_loads_nothing_until_a_name_is_used() -> None:
    loaded = run("import sys, llmkit; print(*sorted(m for m in sys.modules))").split()
    for name in ("openai", "tiktoken", "structlog", "backoff", "pydantic", "asyncio"):
        assert name not in loaded


def test_importing_the_client_opens_no_socket_and_no_file_and_loads_no_vocabulary() -> None:
    code = """
import sys, openai
events = []
def hook(event, args):
    opened = event == "open" and not str(args[0]).endswith((".py", ".pyc", ".so"))
    if event.startswith("socket.") or event == "subprocess.Popen" or opened:
        events.append((event, str(args[:1])))
sys.addaudithook(hook)
from llmkit import AsyncOpenAI
print(events, "tiktoken" in sys.modules, "pytest" in sys.modules)
"""
    assert run(code).strip() == "[] False False"


def test_the_testing_helpers_do_not_need_pytest() -> None:
    code = (
        "import sys; sys.modules['pytest'] = None\nfrom llmkit.testing import FakeOpenAI; print(FakeOpenAI().requests)"
    )
    assert run(code).strip() == "[]"
