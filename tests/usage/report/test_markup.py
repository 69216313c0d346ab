from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from usage.report.pages import Page

from llmkit.usage.report.markup import Markup, element, joined, text


def test_text_is_escaped_and_markup_is_not() -> None:
    assert element("p", "a < b & c", Markup("<b>d</b>")) == "<p>a &lt; b &amp; c<b>d</b></p>"


def test_names_of_attributes_are_those_of_html_and_none_is_left_out() -> None:
    made = element("td", class_="n", data_value=0, hidden=True, title=None, viewBox="0 0 1 1")
    assert made == '<td class="n" data-value="0" hidden viewBox="0 0 1 1"></td>'


def test_an_element_that_can_hold_nothing_is_not_closed() -> None:
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'


def test_parts_are_joined_as_markup() -> None:
    assert joined("<", Markup("<br>")) == "&lt;<br>"
    assert isinstance(joined(), Markup)


@pytest.mark.parametrize("unfit", ["\x00", "\x1b", "\x7f", "\x85", "\ud800", "\u202e", "\u2066"])
def test_what_is_not_seen_is_written_out(unfit: str) -> None:
    assert text(f"a{unfit}b") == f"a{ascii(unfit)[1:-1]}b"


@given(st.text())
def test_any_text_stays_text_in_an_element_and_in_an_attribute(content: str) -> None:
    made = element("p", content, title=content)
    assert made.encode()
    page = Page(made)
    assert [tag for tag, _ in page.elements] == ["p"]
    assert (
        page.text
        == page.all("p")[0]["title"]
        == text(content)
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", '"')
        .replace("&#x27;", "'")
        .replace("&amp;", "&")
    )
