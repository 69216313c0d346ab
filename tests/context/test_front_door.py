from __future__ import annotations

import subprocess
import sys

import pytest

import llmkit.context


def test_every_name_can_be_had_and_is_listed() -> None:
    assert llmkit.context.__all__ == sorted(llmkit.context.__all__)
    assert all(getattr(llmkit.context, name) is not None for name in llmkit.context.__all__)
    assert set(llmkit.context.__all__) <= set(dir(llmkit.context))
    with pytest.raises(AttributeError, match="no attribute 'trim_nothing'"):
        llmkit.context.trim_nothing  # noqa: B018


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, llmkit.context; print([name for name in sys.modules if name.startswith('llmkit.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['llmkit._lazy', 'llmkit.context']"
