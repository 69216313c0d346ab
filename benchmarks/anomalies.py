"""How much of unusual usage is noticed, and how often a false alarm is given, on simulated months.

    python benchmarks/anomalies.py [--seeds 400 401] [--months 3] [--verbose]

Series of 1 to 10,000 calls an hour: busy by day and week, with noise that lasts for hours, bursts, nightly and weekly
jobs, holidays, growth, deployments that change the level, lognormal token counts, and errors that come in clusters.
Each month of each series has one spike of each kind in it. The detector's constants were chosen with seeds below 404;
report others.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC

import numpy as np

from llmkit.usage.anomalies.amounts import Settings
from llmkit.usage.anomalies.calendar import Calendar
from llmkit.usage.anomalies.series import Call, Finding, Series

DAY, MONTH, LEARNING = 24, 30 * 24, 14 * 24
"""Hours."""
HOUR, PIECE = 3600, 300
"""Seconds."""
MONDAY = 1_767_571_200
"""2026-01-05 00:00 UTC."""
SETTINGS = Settings(
    learning=LEARNING,
    cool_down=24,
    sensitivity=1.0,
    least=(30.0, 50_000.0, 1.0),
    least_errors=10,
    least_error_rate=0.05,
    least_off_hours=10,
    working_hours=None,
)
LEAST = {"requests": 30.0, "tokens": 50_000.0, "cost": 1.0}
ENOUGH = 2.0
"""A spike uses at least so many times the least that is told."""
TOKENS, PRICE, ERRORS = 1_500.0, 5e-6, 0.01
KINDS = ("requests", "tokens", "cost", "error_rate", "off_hours", "runaway")


@dataclass(frozen=True)
class Kind:
    """How much traffic a series has, and when."""

    name: str
    calls: float
    """An hour, at noon of a weekday."""
    night: float
    """The share of it that there is at night."""
    weekend: float
    nightly: float = 1.0
    """How much more there is from 2 to 3 o'clock."""
    weekly: float = 1.0
    """How much more there is from 6 to 7 on Mondays."""


SERIES = (
    Kind("a user, 1/h", 1, 0.1, 0.3),
    Kind("office user, 12/h", 12, 0.0, 0.0),
    Kind("feature, 40/h", 40, 0.2, 0.5),
    Kind("office feature, 150/h", 150, 0.0, 0.0),
    Kind("feature with jobs, 300/h", 300, 0.1, 0.4, nightly=8, weekly=10),
    Kind("product, 1,500/h", 1_500, 0.15, 0.6),
    Kind("worldwide, 10,000/h", 10_000, 0.5, 0.9),
)


@dataclass
class Spike:
    """What was planted."""

    kind: str
    start: float
    end: float
    factor: float
    found: Finding | None = None


@dataclass
class Outcome:
    """What became of a series."""

    months: float
    spikes: list[Spike] = field(default_factory=list)
    false: list[Finding] = field(default_factory=list)


class Traffic:
    """The calls of a series, in pieces of five minutes."""

    def __init__(self, kind: Kind, months: int, seed: int) -> None:
        self.kind = kind
        self.random = np.random.default_rng([seed, int(kind.calls)])
        self.hours = LEARNING + months * MONTH
        self.level = self._levels()
        self.size = self._sizes()
        self.clusters = self._clusters()
        self.spikes = [spike for month in range(months) for spike in self._plant(LEARNING + month * MONTH)]

    def usual(self, hour: float) -> float:
        """Calls an hour that the time of the day and the week has, without noise."""
        day, time = int(hour // DAY), hour % DAY
        kind = self.kind
        if day in self.holidays or day % 7 >= 5:
            return kind.calls * kind.weekend * self._daily(time)
        jobs = kind.nightly if 2 <= time < 3 else kind.weekly if 6 <= time < 7 and day % 7 == 0 else 1.0
        return kind.calls * self._daily(time) * jobs

    def _daily(self, time: float) -> float:
        if self.kind.night == 0:
            return 1.0 if 8 <= time < 18 else 0.0
        day = max(0.0, math.sin(math.pi * (time - 5) / 17))
        return self.kind.night + (1 - self.kind.night) * day * math.sqrt(day)

    def _levels(self) -> np.ndarray:
        """Noise that lasts for some hours, bursts, growth of a tenth a month, and a deployment every other month."""
        random, hours = self.random, self.hours
        self.holidays = set(random.choice(hours // DAY, size=hours // MONTH + 1).tolist())
        noise = np.zeros(hours)
        for hour in range(1, hours):
            noise[hour] = 0.7 * noise[hour - 1] + random.normal(0, 0.2 * math.sqrt(1 - 0.49))
        level = np.exp(noise) * 1.1 ** (np.arange(hours) / MONTH)
        level[random.random(hours) < 0.007] *= 2
        for start in range(0, hours, 2 * MONTH):
            level[start + int(random.integers(0, 2 * MONTH)) :] *= random.choice([0.7, 1.5])
        return level

    def _sizes(self) -> np.ndarray:
        """Tokens of a call: another mean from a deployment on."""
        sizes = np.full(self.hours, TOKENS)
        for start in range(0, self.hours, 2 * MONTH):
            sizes[start + int(self.random.integers(0, 2 * MONTH)) :] *= self.random.choice([0.8, 1.4])
        return sizes

    def _clusters(self) -> set[int]:
        """The pieces in which a third of the calls fails: ten minutes, four times a month."""
        starts = self.random.integers(0, self.hours * 12, size=4 * self.hours // MONTH)
        return {int(start) + piece for start in starts for piece in range(2)}

    def _plant(self, start: int) -> Iterator[Spike]:
        """One spike of each kind in each month, five days apart."""
        for number, kind in enumerate(self.random.permutation(KINDS)):
            spike = self._spike(str(kind), start + number * 5 * DAY)
            if spike is not None:
                yield spike

    def _spike(self, kind: str, first: int) -> Spike | None:
        random = self.random
        for _ in range(200):
            start = first + random.uniform(0, 3.5 * DAY)
            long = random.uniform(1, 6)
            factor = math.exp(random.uniform(math.log(3), math.log(10)))
            rates = [self.usual(time) * self.level[int(time)] for time in np.arange(start, start + 1, 1 / 12)]
            calls = float(np.mean(rates))
            size = self.size[int(start)]
            if kind == "off_hours":
                if calls == 0 and self.kind.night == 0 and start % DAY > 20:
                    return Spike(kind, start, start + long, random.uniform(20, 60))
            elif min(rates) == 0 or (kind in ("tokens", "cost") and calls < 10):
                continue
            elif kind == "error_rate":
                if calls * 0.2 >= ENOUGH * SETTINGS.least_errors:
                    return Spike(kind, start, start + long, 0.2)
            elif kind == "runaway":
                return Spike(kind, start, start + random.uniform(1, 3), max(20 * 60, 3 * calls))
            else:
                used = calls * {"requests": 1, "tokens": size, "cost": size * PRICE}[kind]
                return Spike(kind, start, start + long, max(factor, 1 + ENOUGH * LEAST[kind] / used))
        return None

    def pieces(self) -> Iterator[tuple[float, Call]]:
        """When calls were over, and what they used: up to eight groups of calls each five minutes."""
        for piece in range(self.hours * 12):
            time = piece / 12
            active = {spike.kind: spike.factor for spike in self.spikes if spike.start <= time < spike.end}
            rate = self.usual(time) * self.level[int(time)] * active.get("requests", 1.0)
            rate += active.get("off_hours", 0.0) + active.get("runaway", 0.0)
            count = int(self.random.poisson(rate / 12))
            if not count:
                continue
            size = self.size[int(time)] * active.get("tokens", 1.0)
            tokens = self.random.lognormal(math.log(size) - 0.5, 1.0, size=count)
            dollars = PRICE * active.get("cost", 1.0)
            share = max(ERRORS, active.get("error_rate", 0.0), 1 / 3 if piece in self.clusters else 0.0)
            failed = self.random.random(count) < share
            moments = np.sort(self.random.uniform(0, PIECE, size=min(count, 8)))
            for moment, use, fails in zip(moments, np.array_split(tokens, 8), np.array_split(failed, 8), strict=False):
                used = float(use[~fails].sum())
                call = Call(len(use), used, used * dollars, len(use), int(fails.sum()))
                yield MONDAY + piece * PIECE + float(moment), call


def watch(kind: Kind, months: int, seed: int) -> Outcome:
    """The traffic of a series through the detector."""
    traffic = Traffic(kind, months, seed)
    outcome = Outcome(months, traffic.spikes)
    series = Series(Calendar(UTC), SETTINGS, MONDAY // HOUR)
    for at, call in traffic.pieces():
        found = series.see(at, call)
        if found is not None:
            note(outcome, found, (at - MONDAY) / HOUR)
    return outcome


def note(outcome: Outcome, found: Finding, hour: float) -> None:
    """Put what was told down to a spike, or to nothing."""
    for spike in outcome.spikes:
        is_of_errors = spike.kind == "error_rate"
        if spike.start <= hour <= spike.end + 0.25 and is_of_errors == (found.measure == "error_rate"):
            spike.found = spike.found or found
            return
    outcome.false.append(found)


def report(outcomes: dict[str, list[Outcome]], *, verbose: bool) -> None:
    """Print recall by kind of spike, and false alarms by series."""
    planted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    delays: dict[str, list[float]] = defaultdict(list)
    print(f"{'series':28}{'recall':>16}{'false alarms a month':>24}  of")
    for name, several in outcomes.items():
        spikes = [spike for outcome in several for spike in outcome.spikes]
        false = [finding for outcome in several for finding in outcome.false]
        months = sum(outcome.months for outcome in several)
        for spike in spikes:
            planted[spike.kind] += 1
            if spike.found is not None:
                found[spike.kind] += 1
                delays[spike.kind].append((spike.found.end - MONDAY) / HOUR - spike.start)
            elif verbose:
                print("    missed", spike)
        noticed = sum(spike.found is not None for spike in spikes)
        measures = Counter(finding.measure for finding in false)
        worst = max(len(outcome.false) / outcome.months for outcome in several)
        print(
            f"{name:28}{noticed:6} of {len(spikes):4}{noticed / max(1, len(spikes)):7.1%}{len(false) / months:10.3f}"
            f" (worst {worst:.2f})  {dict(measures)}"
        )
        if verbose:
            for finding in false:
                print("    false", round((finding.end - MONDAY) / HOUR / 24, 2), finding)
    print()
    for kind in KINDS:
        if planted[kind]:
            late, share = np.median(delays[kind]) * 60, found[kind] / planted[kind]
            print(f"{kind:28}{found[kind]:6} of {planted[kind]:4}{share:7.1%}, after {late:.0f} minutes")
    everything = [outcome for several in outcomes.values() for outcome in several]
    months = sum(outcome.months for outcome in everything)
    false_alarms = sum(len(outcome.false) for outcome in everything)
    total = sum(planted.values())
    false_rate = false_alarms / months
    print(f"\nrecall {sum(found.values()) / total:.1%} of {total}; {false_rate:.3f} false alarms a month per series")


def main() -> None:
    """Simulate and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[*range(400, 404)])
    parser.add_argument("--months", type=int, default=3)
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    outcomes = {kind.name: [watch(kind, given.months, seed) for seed in given.seeds] for kind in SERIES}
    report(outcomes, verbose=given.verbose)


if __name__ == "__main__":
    main()
