from __future__ import annotations

import dataclasses
import functools
from typing import Any

import docstring_parser
import pytest

from llmkit.tools.docstring import Docstring, read_docstring


def google(city: str, *parts: str, **more: int) -> None:
    """Current weather.

    Asks three services
    and takes the median.

    Args:
        city (str): City name,
            such as "Paris".
        *parts: Parts of the town.
        **more: Anything.
        untold:

    Returns:
        The weather.

    Raises:
        ValueError: no such city.

    Examples:
        google("Paris")
    """


def numpy(x: int, y: int, z: int) -> None:
    """Move.

    Parameters
    ----------
    x, y : int
        Steps.
    z
        Height.

    Returns
    -------
    int
        Nothing.
    """


def sphinx(city: str) -> None:
    """Current weather.

    :param str city: City name.
    :returns: the weather
    """


def epydoc(city: str) -> None:
    """Current weather.

    @param city: City name.
    @return: the weather
    """


@pytest.mark.parametrize(
    ("function", "summary", "arguments"),
    [
        (
            google,
            "Current weather.\n\nAsks three services\nand takes the median.",
            {"city": 'City name, such as "Paris".', "parts": "Parts of the town.", "more": "Anything."},
        ),
        (numpy, "Move.", {"x": "Steps.", "y": "Steps.", "z": "Height."}),
        (sphinx, "Current weather.", {"city": "City name."}),
        (epydoc, "Current weather.", {"city": "City name."}),
    ],
)
def test_every_style_gives_the_text_and_the_arguments_without_the_other_sections(
    function: Any, summary: str, arguments: dict[str, str]
) -> None:
    assert read_docstring(function) == Docstring(summary=summary, arguments=arguments)


def test_a_docstring_without_sections_is_taken_as_it_is() -> None:
    def function() -> None:
        """Look up: anything.

        Note: slow. Use :ref:`other` or a@b.c
          - indented
        """

    assert read_docstring(function).summary == (
        "Look up: anything.\n\nNote: slow. Use :ref:`other` or a@b.c\n  - indented"
    )


def test_no_docstring_is_no_text() -> None:
    def function() -> None: ...

    assert read_docstring(function) == Docstring()


def test_a_docstring_that_cannot_be_parsed_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise docstring_parser.ParseError

    monkeypatch.setattr(docstring_parser, "parse", fail)
    assert read_docstring(sphinx).summary.startswith("Current weather.\n\n:param")


def test_of_two_styles_the_one_that_says_more_wins() -> None:
    def function(a: int, b: int) -> None:
        """Do it.

        :param a: First.
        :param b: Second.

        Returns:
            Nothing.
        """

    assert read_docstring(function).arguments["a"] == "First."


def test_the_docstring_is_found_around_and_inside_what_can_be_called() -> None:
    class OfTheClass:
        """Of the class."""

        def __call__(self) -> None: ...

    class OfTheCall:
        def __call__(self) -> None:
            """Of the call."""

    class OfTheInstance(OfTheClass):
        def __init__(self) -> None:
            self.__doc__ = "Of the instance."

    named = functools.partial(google, "Paris")
    named.__doc__ = "Of the partial."
    assert read_docstring(OfTheClass()).summary == "Of the class."
    assert read_docstring(OfTheCall()).summary == "Of the call."
    assert read_docstring(OfTheInstance()).summary == "Of the instance."
    assert read_docstring(OfTheClass).summary == "Of the class."
    assert read_docstring(functools.partial(google, "Paris")).summary.startswith("Current weather.")
    assert read_docstring(named).summary == "Of the partial."


def test_what_a_dataclass_says_of_itself_is_no_docstring() -> None:
    @dataclasses.dataclass
    class Order:
        item: str

    assert read_docstring(Order) == Docstring()
