"""Reading JSON into Python values, forgiving a null where there is a default; what is wrong, in words for a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json, to_json

from llmkit.tools.errors import ArgumentsKind
from llmkit.tools.size import Schema, is_schema

_MOST: Final = 10
_HIDDEN: Final = "Input is not valid"
_CUSTOM: Final = frozenset(("value_error", "assertion_error"))
_REWRITTEN: Final = {
    "union_tag_invalid": "Input should have {discriminator} as one of {expected_tags}",
    "uuid_parsing": "Input should be a valid UUID",
    "json_invalid": "Input should be valid JSON",
    "bytes_invalid_encoding": "Input should be valid {encoding}",
    "iteration_error": _HIDDEN,
    "mapping_type": "Input should be a valid mapping",
    "get_attribute_error": _HIDDEN,
}
"""For pydantic's texts that repeat some of the input."""
_UNKNOWN: Final = frozenset(("extra_forbidden", "unexpected_keyword_argument"))


class Rejected(Exception):
    """A text that does not fit; `str` is for the model and repeats nothing of it."""

    def __init__(self, text: str, kind: ArgumentsKind = "invalid_arguments") -> None:
        super().__init__(text)
        self.kind: ArgumentsKind = kind


class Reader:
    """Reads JSON text as a type. `schema` is the type's JSON schema, `what` is how errors call the text."""

    __slots__ = ("_schema", "_what", "validate")

    def __init__(self, adapter: TypeAdapter[Any], schema: Schema, *, what: str) -> None:
        self.validate = adapter.validator.validate_json
        self._schema = schema
        self._what = what

    def read(self, text: str | bytes, *, show_errors: bool = False) -> Any:
        """The value; raises Rejected, with the texts of validators' own errors if these are shown.

        A null that does not fit counts as left out where there is a default.
        """
        data: Any = None
        while True:
            try:
                return self.validate(text)
            except ValidationError as error:
                problems = error.errors()
            except Exception as error:  # a validator of the user's own
                raise Rejected(f"{self._what}: {_HIDDEN}") from error
            self._check_json(problems[0])
            data = from_json(text) if data is None else data
            if not [problem for problem in problems if self._drops(problem, data)]:
                raise Rejected(self._text(problems, data, show_errors))
            text = to_json(data)

    def _check_json(self, problem: ErrorDetails) -> None:
        if problem["loc"] or problem["type"] not in ("json_invalid", "string_unicode", "dict_type"):
            return
        if problem["type"] == "dict_type":
            raise Rejected(f"the {self._what} must be a JSON object")
        reason = problem.get("ctx", {}).get("error", "text that is no Unicode")
        raise Rejected(f"the {self._what} must be valid JSON: {reason}", "invalid_json")

    def _drops(self, problem: ErrorDetails, data: Any) -> bool:
        """Whether a null in the data was in the way of a default; it is dropped."""
        if problem["input"] is not None or problem["type"] == "missing":
            return False
        place = _place(problem["loc"], self._schema, data)
        if not place.optional or place.parent.get(place.key, 0) is not None:
            return False
        del place.parent[place.key]
        return True

    def _text(self, problems: list[ErrorDetails], data: Any, show_errors: bool) -> str:
        texts = list(dict.fromkeys(self._line(problem, data, show_errors) for problem in problems))
        more = [f"and {len(texts) - _MOST} more"] if len(texts) > _MOST else []
        return "; ".join(texts[:_MOST] + more)

    def _line(self, problem: ErrorDetails, data: Any, show_errors: bool) -> str:
        place = _place(problem["loc"], self._schema, data)
        if problem["type"] in _UNKNOWN:
            noun = "field" if place.above else self._what.removesuffix("s")
            known = f"the {noun}s are {', '.join(place.names)}" if place.names else f"there are no {noun}s"
            return f"{place.above}: unknown {noun}; {known}".removeprefix(": ")
        return f"{place.text or self._what}: {_message(problem, show_errors)}"


def _message(problem: ErrorDetails, show_errors: bool) -> str:
    kind = problem["type"]
    if kind in _CUSTOM or "url" not in problem:  # pydantic links its own errors, and only those, to its site
        return problem["msg"] if show_errors else _HIDDEN
    template = _REWRITTEN.get(kind)
    return template.format_map(problem.get("ctx", {})) if template else problem["msg"]


@dataclass(slots=True)
class _Place:
    """Where an error is: in words, and in the data."""

    text: str = ""
    above: str = ""
    names: tuple[str, ...] = ()
    """The properties of the object it is in."""
    parent: Any = None
    key: Any = None
    optional: bool = False
    """It is a property that may be left out."""


def _place(loc: tuple[int | str, ...], schema: Schema, data: Any) -> _Place:
    """Follow an error's path; names that the schema does not have are shown as "…", tags of unions are skipped."""
    place = _Place()
    value: Any = data
    nodes: list[Any] = [schema]
    for part in loc:
        branches = list(_branches(nodes, schema.get("$defs", {})))
        present, item = _item(value, part)
        if isinstance(part, int):
            if present:
                place = _Place(text=f"{place.text}[{part}]", above=place.text)
                nodes = [each for branch in branches for each in (branch.get("items"), *branch.get("prefixItems", ()))]
                value = item
            continue
        owners = [branch for branch in branches if part in branch.get("properties", {})]
        if not present and not (owners and part == loc[-1]):
            continue
        names = tuple(dict.fromkeys(name for branch in branches for name in branch.get("properties", {})))
        text = f"{place.text}.{part if owners else '…'}".removeprefix(".")
        optional = any(part not in branch.get("required", ()) for branch in owners)
        place = _Place(text=text, above=place.text, names=names, parent=value, key=part, optional=optional)
        nodes = [branch["properties"][part] for branch in owners] or [
            branch.get("additionalProperties") for branch in branches
        ]
        value = item
    return place


def _item(value: Any, key: int | str) -> tuple[bool, Any]:
    """Whether data has something there, and what."""
    try:
        return True, value[key]
    except (LookupError, TypeError):
        return False, None


def _branches(nodes: list[Any], definitions: Schema) -> Iterator[Schema]:
    """The schemas that a value may follow, without `$ref`s and unions around them."""
    left, seen = list(nodes), set[str]()
    while left:
        node = left.pop(0)
        if not is_schema(node):
            continue
        if (reference := node.get("$ref")) and reference not in seen:
            seen.add(reference)
            left.append(definitions[reference.rpartition("/")[2]])
        for key in ("anyOf", "oneOf", "allOf"):
            left += node.get(key, ())
        yield node
