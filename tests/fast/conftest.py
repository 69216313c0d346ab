from __future__ import annotations

from collections.abc import Iterator

import pytest
from fast.wire import Wire


@pytest.fixture(scope="package")
def wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()
