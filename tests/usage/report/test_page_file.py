from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmkit.usage.report.page_file import write_page


def test_a_page_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    target = tmp_path / "usage.html"
    write_page(target, "<p>old")
    with open(target, encoding="utf-8") as reader:
        write_page(target, "<p>new \N{SNOWMAN}")
        assert reader.read() == "<p>old"
    assert target.read_text("utf-8") == "<p>new \N{SNOWMAN}"
    assert [*tmp_path.iterdir()] == [target]


def test_a_page_is_for_its_owner_alone(tmp_path: Path) -> None:
    target = tmp_path / "usage.html"
    target.write_text("<p>of everybody")
    (tmp_path / f".llmkit-{os.getpid()}-usage.html").write_text("<p>left behind")
    write_page(target, "<p>")
    assert target.stat().st_mode & 0o777 == 0o600
    assert [*tmp_path.iterdir()] == [target]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "pages").mkdir()
    link = tmp_path / "usage.html"
    link.symlink_to("pages/usage.html")
    write_page(link, "<p>")
    assert link.is_symlink()
    assert (tmp_path / "pages/usage.html").read_text() == "<p>"


def test_a_page_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "usage.html").mkdir()
    with pytest.raises(OSError):
        write_page(tmp_path / "usage.html", "<p>")
    with pytest.raises(FileNotFoundError):
        write_page(tmp_path / "missing" / "usage.html", "<p>")
    assert [path.name for path in tmp_path.iterdir()] == ["usage.html"]
