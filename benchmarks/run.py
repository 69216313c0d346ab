"""llmkit beside the raw SDK: prints the ratios as a Markdown table.

Usage: python benchmarks/run.py [--quick] [--scale] [--only NAME ...] [--self] [--write docs/performance.md]

Both clients talk to the same mock server, each in a process of its own, in turns; the first turn does not count.
Every answer is compared with what the server sent, and every request of llmkit with that of the raw SDK.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import platform
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmark import Benchmark, Row
from catalogue import BENCHMARKS
from processes import Client, Failed, Server, cpus

_UNITS = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "B": ((1e6, "MB"), (1e3, "kB")),
    "1/s": ((1.0, "/s"),),
}
Figures = dict[str, dict[str, list[float]]]  # of each kind of client: key -> one figure a round


@dataclass(frozen=True, slots=True)
class Options:
    """How much to measure, and whether beside llmkit, and it on aiohttp, or beside the raw SDK again: the noise."""

    rounds: int
    factor: float
    noise: bool
    aiohttp: bool


class Bench:
    """A server and the clients that last for all benchmarks."""

    def __init__(self, options: Options, stack: ExitStack) -> None:
        self._options = options
        self._stack = stack
        self._server = stack.enter_context(Server())
        self._clients: dict[str, Client] = {}

    def figures(self, benchmark: Benchmark) -> Figures:
        """What each kind of client needed in each round; the one that begins changes from round to round."""
        kinds = ["raw", "again" if self._options.noise else "llmkit"]
        if benchmark.aiohttp and self._options.aiohttp:
            kinds.append("aiohttp")
        found: Figures = {kind: defaultdict(list) for kind in kinds}
        for number in range(0 if benchmark.fresh else -1, min(self._options.rounds, benchmark.most_rounds)):
            order = kinds if number % 2 else kinds[::-1]
            for kind, figures in self._round(benchmark, order, seed=number):
                for key, figure in figures.items() if number >= 0 else ():
                    found[kind][key].append(figure)
        return found

    def _round(self, benchmark: Benchmark, kinds: list[str], *, seed: int) -> Iterator[tuple[str, dict[str, float]]]:
        digests: dict[str, str] = {}
        for kind in kinds:
            with ExitStack() as stack:
                client = self._fresh(kind, stack) if benchmark.fresh else self._lasting(kind)
                figures, digests[kind] = client.measure(benchmark.name, seed=seed, factor=self._options.factor)
            yield kind, figures
        if len(set(digests.values())) > 1:
            raise Failed(f"{benchmark.name}: the clients did not send the same: {digests}")

    def _fresh(self, kind: str, stack: ExitStack) -> Client:
        return stack.enter_context(Client("raw" if kind == "again" else kind, self._server))

    def _lasting(self, kind: str) -> Client:
        if kind not in self._clients:
            self._clients[kind] = self._fresh(kind, self._stack)
            if kind in ("llmkit", "aiohttp"):
                self._clients[kind].measure("prove", seed=0, factor=1)
        return self._clients[kind]


def lines(benchmark: Benchmark, figures: Figures) -> Iterator[str]:
    """The lines of the table."""
    raw = figures["raw"]
    for kind in [kind for kind in figures if kind != "raw"]:
        for row in benchmark.rows:
            if row.key in figures[kind]:
                label = row.label + (', `transport="aiohttp"`' if kind == "aiohttp" else "")
                yield line(row, label, raw.get(row.key), figures[kind][row.key])


def line(row: Row, label: str, raw: Sequence[float] | None, other: Sequence[float]) -> str:
    """One line: medians, and the ratio of the two in each round."""
    mine, theirs = statistics.median(other), statistics.median(raw) if raw else 0.0
    scale, unit = next(
        (pair for pair in _UNITS[row.unit] if max(mine, theirs) >= pair[0]),
        _UNITS[row.unit][-1],
    )
    ratios = [b / a for a, b in zip(raw or (), other, strict=raw is not None) if a > 0]
    ratio = f"**{number(statistics.median(ratios))}** [{number(min(ratios))}-{number(max(ratios))}]" if ratios else "-"
    cells = [label, "more" if row.more_is_better else "less", f"{number(theirs / scale)} {unit}" if raw else "-"]
    return f"| {' | '.join([*cells, f'{number(mine / scale)} {unit}', ratio])} |"


def number(value: float) -> str:
    """Three digits, or fewer."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def head(options: Options) -> list[str]:
    """The first two lines of the table."""
    other = "raw SDK again" if options.noise else "llmkit"
    return [f"| measure | better | raw SDK | {other} | ratio [min-max] |", "|---|---|---|---|---|"]


def caption(options: Options) -> str:
    """When and where the figures were made."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("openai", "pydantic", "httpx2")]
    if options.aiohttp:
        versions.append(f"aiohttp {importlib.metadata.version('aiohttp')}")
    pair = cpus()
    where = f"clients on CPU {pair[0]}, server on CPU {pair[1]}" if pair else "clients and server on any CPU"
    least = "" if options.factor == 1 else f", {options.factor:g} of the usual number of calls"
    return (
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, llmkit {llmkit_version()}, Python "
        f"{platform.python_version()}, {', '.join(versions)}, {processor()}; {where}; medians of up to "
        f"{options.rounds} rounds{least}."
    )


def llmkit_version() -> str:
    """The version that is measured, installed or not."""
    import llmkit

    return llmkit.__version__


def processor() -> str:
    """The model of the CPU."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)", cpuinfo.read_text() if cpuinfo.exists() else "", re.MULTILINE)
    return found[1] if found else platform.processor() or platform.machine()


def replaced(document: str, name: str, table: Iterable[str]) -> str:
    """The document with `table` between its markers of that name."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    if not 0 <= document.find(begin) < document.find(end):
        raise SystemExit(f"the file has no lines {begin} and {end} to write the table between")
    before, rest = document.split(begin, 1)
    return "\n".join([before + begin, *table, end + rest.split(end, 1)[1]])


def chosen(names: Sequence[str], *, scale: bool) -> list[Benchmark]:
    """The benchmarks to run."""
    known = [benchmark.name for benchmark in BENCHMARKS]
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"there is no benchmark {unknown[0]!r}; choose from {', '.join(known)}")
    if names:
        return [benchmark for benchmark in BENCHMARKS if benchmark.name in names]
    return [benchmark for benchmark in BENCHMARKS if scale or not benchmark.scale]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 rounds of a tenth of the calls: coarse figures")
    parser.add_argument("--scale", action="store_true", help="also the slow ones: 100,000 calls, 2,000 streams")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these benchmarks")
    parser.add_argument("--self", action="store_true", help="the raw SDK beside itself: how much is noise")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table between the markers in this file")
    parser.add_argument("--rounds", type=int, help="how often each client is measured (9)")
    parser.add_argument("--factor", type=float, help="do so much of the usual number of calls (1)")
    given = parser.parse_args()
    if given.write and (given.only or given.self):
        parser.error("--write wants the whole table: leave --only and --self out")
    return given


def main() -> None:
    """Run what the command line says."""
    given = arguments()
    options = Options(
        rounds=given.rounds or (3 if given.quick else 9),
        factor=given.factor or (0.1 if given.quick else 1.0),
        noise=given.self,
        aiohttp=not given.self and importlib.util.find_spec("aiohttp") is not None,
    )
    tables: dict[str, list[str]] = {"table": head(options), "scale": head(options)}
    print("\n".join(head(options)), flush=True)
    with ExitStack() as stack:
        bench = Bench(options, stack)
        for benchmark in chosen(given.only, scale=given.scale):
            for text in lines(benchmark, bench.figures(benchmark)):
                tables["scale" if benchmark.scale else "table"].append(text)
                print(text, flush=True)
    notes = [caption(options)]
    if not given.self and not options.aiohttp:
        notes.append("aiohttp is not installed, so there are no rows for it.")
    print("", *notes, sep="\n")
    if given.write:
        document = given.write.read_text()
        for name in ("table", "scale") if given.scale else ("table",):
            document = replaced(document, name, ["", *tables[name], "", *notes, ""])
        given.write.write_text(document)


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(str(failed))
