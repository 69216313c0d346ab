"""All benchmarks, in the order of the table."""

from __future__ import annotations

import calls
import scale
import start
import streams

BENCHMARKS = [*calls.BENCHMARKS, *streams.BENCHMARKS, *start.BENCHMARKS, *scale.BENCHMARKS]
