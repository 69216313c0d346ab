"""Characters that UTF-16 writes as a pair, and that some servers cut in two."""

from __future__ import annotations

import re

_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_CUT_LOW = r"(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?\Z"
_ESCAPE = re.compile(rf"{_HIGH}{_LOW}|{_HIGH}{_CUT_LOW}|(?P<lone>{_HIGH}|{_LOW})|\\.", re.DOTALL)


def joined(text: str) -> str:
    """`text` with pairs that came apart made one character again; a lone half stays as it is."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return text


def sendable(text: str) -> str:
    """`text` with pairs made one character again and U+FFFD for each lone half, which no UTF-8 can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def mended(text: str) -> str:
    """JSON `text` with U+FFFD for each lone half, raw or escaped; an escape that is cut at the end stays."""
    whole = sendable(text)
    return _ESCAPE.sub(_plain, whole) if "\\u" in whole else whole


def _plain(escape: re.Match[str]) -> str:
    return "\ufffd" if escape["lone"] else escape[0]
