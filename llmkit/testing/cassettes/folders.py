"""Finds the folder of a test module's cassettes, so that no two modules share one."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def cassette_folder(module: Path, *, root: Path, testpaths: Sequence[str]) -> Path:
    """The folder in `root / "cassettes"` that is named after the path of `module` below the first of `testpaths`.

    It is the path below `root` for a module in none of them, and when two of them hold a module of this name.
    """
    starts = [*_folders(root, testpaths), root]
    start = next((each for each in starts if module.is_relative_to(each)), module.parent)
    name = module.relative_to(start)
    shared = any(each != start and (each / name).is_file() for each in starts)
    if shared and module.is_relative_to(root):
        name = module.relative_to(root)
    return root / "cassettes" / name.with_suffix("")


def _folders(root: Path, testpaths: Sequence[str]) -> Iterator[Path]:
    """The folders that pytest takes `testpaths` for: patterns, relative to the root directory."""
    for pattern in testpaths:
        found = sorted(glob.glob(pattern, root_dir=root, recursive=True))
        yield from (folder for name in found if (folder := Path(os.path.normpath(root / name))).is_dir())
