"""Each test module has a folder of its own for its cassettes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from llmkit.testing.cassettes.folders import cassette_folder

if TYPE_CHECKING:
    from testing.cassettes.conftest import Project


@pytest.mark.parametrize(
    ("module", "testpaths", "folder"),
    [
        ("tests/test_conversations.py", ["tests"], "test_conversations"),
        ("tests/a/test_x.py", ["tests"], "a/test_x"),
        ("tests/a/test_x.py", [], "tests/a/test_x"),
        ("tests/a/test_x.py", ["nowhere", "./tests/", "tests/a"], "a/test_x"),
        ("src/a/tests/test_z.py", ["src/*/tests"], "test_z"),
        ("test_top.py", ["tests"], "test_top"),
        ("tests/test_x.py", ["tests/test_x.py"], "tests/test_x"),
        # two testpaths, or a testpath and the root, with modules of the same name
        ("tests/test_x.py", ["tests", "more"], "tests/test_x"),
        ("more/test_x.py", ["tests", "more"], "more/test_x"),
        ("more/test_y.py", ["tests", "more"], "test_y"),
        ("tests/test_top.py", ["tests"], "tests/test_top"),
        ("../elsewhere/test_x.py", ["tests"], "test_x"),
        ("../elsewhere/b/test_y.py", ["../elsewhere"], "b/test_y"),
    ],
)
def test_the_folder_is_the_modules_path_in_its_testpath(
    tmp_path: Path, module: str, testpaths: list[str], folder: str
) -> None:
    root = tmp_path / "project"
    files = ["tests/a/test_x.py", "tests/test_x.py", "more/test_x.py", "more/test_y.py", "src/a/tests/test_z.py"]
    for name in (*files, "test_top.py", "tests/test_top.py", "../elsewhere/b/test_y.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    path = Path(str(root / module).replace("project/../", ""))
    assert cassette_folder(path, root=root, testpaths=testpaths) == root / "cassettes" / folder


def test_modules_of_the_same_name_do_not_overwrite_each_other(
    project: Project, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMKIT_RECORD_BASE_URL", api)
    project.pytester.makeini("[pytest]\ntestpaths = tests\naddopts = --import-mode=importlib")
    for folder in ("a", "b"):
        module = project.pytester.path / "tests" / folder / "test_x.py"
        module.parent.mkdir(parents=True)
        module.write_text(
            "import pytest\n" + project.POST.replace("PROMPT", folder).replace("reply =", "import httpx2; reply =")
        )
    project.run("--record-mode=rewrite").assert_outcomes(passed=2)
    assert "b" in project.cassette("test_post", "b/test_x").read_text()
    assert project.cassette("test_post", "a/test_x").exists()
    project.run().assert_outcomes(passed=2)
