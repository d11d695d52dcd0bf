#!/usr/bin/env python3
"""Compares two checkouts of this crate: no job may have become slower.

Builds the benches `peers` and `network` in both, each in its own folder
`target`, and runs them in alternation: of `peers` every job, of `network` what
is this crate's. Prints, for each job, the median milliseconds before and after,
their ratio, the quartiles of the rounds' own ratios, and the ratio of the
fastest rounds, which other work on the machine disturbs least. Ends with status
1 if a ratio of medians is above the limit.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

import peers as library
from compare import aligned, names, positive, prepared, say
from jobs import JOBS, Job, Kind
from race import SETTLE_SECONDS, Contestant, Race, environment

BENCHES = ["peers", "network"]
# The benches of `network` that run another crate.
OTHERS = "candle"
MILLISECONDS = {"ns": 1e-6, "µs": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass
class Build:
    """A checkout's executables, by bench."""

    name: str
    benches: dict[str, pathlib.Path]


@dataclass
class Measured:
    """A job's value in each round, for both builds: milliseconds or megabytes."""

    job: str
    before: list[float]
    after: list[float]

    @property
    def ratio(self) -> float:
        return statistics.median(self.after) / statistics.median(self.before)

    @property
    def best_ratio(self) -> float:
        return min(self.after) / min(self.before)

    def row(self) -> list[str]:
        ratios = [after / before for before, after in zip(self.before, self.after, strict=True)]
        spread = "-"
        if len(ratios) > 1:
            low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
            spread = f"{low:.3f} to {high:.3f}"
        medians = [f"{statistics.median(values):.3f}" for values in (self.before, self.after)]
        return [self.job, *medians, f"{self.ratio:.3f}", spread, f"{self.best_ratio:.3f}"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=pathlib.Path, help="a checkout of this crate")
    parser.add_argument("after", type=pathlib.Path, help="another one")
    parser.add_argument(
        "--jobs", type=names(JOBS), default=list(JOBS), help=f"of {', '.join(JOBS)} (default: all)"
    )
    parser.add_argument(
        "--network", default="", metavar="REGEX", help="of the bench's jobs (default: all)"
    )
    parser.add_argument("--no-network", action="store_true", help="leave that bench out")
    parser.add_argument("--threads", type=positive, default=2, help="of each build (default: 2)")
    parser.add_argument(
        "--rounds", type=positive, default=9, help="turns of each build (default: 9)"
    )
    parser.add_argument(
        "--limit", type=float, default=1.02, help="the largest ratio that passes (default: 1.02)"
    )
    return parser.parse_args()


def built(name: str, checkout: pathlib.Path) -> Build:
    chosen = [word for bench in BENCHES for word in ("--bench", bench)]
    target = {"CARGO_TARGET_DIR": str(checkout.resolve() / "target")}
    command = ["cargo", "bench", "--no-run", *chosen]
    return Build(name, library.executables(command, checkout, os.environ | target))


def peers_job(
    job: Job, builds: tuple[Build, Build], options: argparse.Namespace, folder: pathlib.Path
) -> Measured | None:
    contestants = [
        Contestant(build.name, [[str(build.benches["peers"]), job.name, str(folder)]])
        for build in builds
    ]
    race = Race(job, contestants, options.threads, folder / "logs")
    if job.kind is Kind.MEMORY:
        peaks = race.peaks()
        rounds = [[peaks[build.name]] for build in builds if build.name in peaks]
    else:
        race.times(options.rounds)
        rounds = [by_round(contestant.times, job.calls) for contestant in contestants]
    unit = " (MB)" if job.kind is Kind.MEMORY else ""
    if len(rounds) < len(builds) or not all(rounds):
        return None
    return Measured(job.name + unit, *rounds)


def by_round(times: list[float], calls: int) -> list[float]:
    starts = range(0, len(times), calls)
    return [statistics.median(times[start : start + calls]) for start in starts]


def network_jobs(builds: tuple[Build, Build], options: argparse.Namespace) -> list[Measured]:
    """The jobs of the bench `network` that both builds have."""
    measured: dict[str, dict[str, list[float]]] = {build.name: {} for build in builds}
    for turn in range(options.rounds):
        for build in builds if turn % 2 == 0 else reversed(builds):
            time.sleep(SETTLE_SECONDS)
            for job, median in medians(build.benches["network"], options).items():
                measured[build.name].setdefault(job, []).append(median)
    before, after = (measured[build.name] for build in builds)
    return [Measured(job, before[job], after[job]) for job in before if job in after]


def medians(bench: pathlib.Path, options: argparse.Namespace) -> dict[str, float]:
    """The milliseconds that the bench prints, by job."""
    command = [bench, "--bench", "--color", "never", "--skip", OTHERS]
    if options.network:
        command.append(options.network)
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=environment(options.threads)
    )
    found = {}
    for line in done.stdout.splitlines():
        cells = line.split("│")
        if len(cells) < 4 or "fastest" in cells[0]:
            continue
        job = cells[0].strip("├╰─ ").split()[0]
        value, unit = cells[2].split()
        found[job] = float(value) * MILLISECONDS[unit]
    return found


def main() -> None:
    options = arguments()
    builds = (built("before", options.before), built("after", options.after))
    folder = prepared(builds[0].benches["peers"], [])
    measured = []
    missing = []
    for job in (JOBS[name] for name in options.jobs):
        one = peers_job(job, builds, options, folder)
        if one is None:
            missing.append(job.name)
            continue
        measured.append(one)
        say(*one.row())
    if not options.no_network:
        measured += network_jobs(builds, options)
    heads = ["job", "before", "after", "ratio", "quartiles", "fastest"]
    print(aligned([heads, *(one.row() for one in measured)]))
    slower = [one.job for one in measured if one.ratio > options.limit]
    if missing:
        print("not measured:", ", ".join(missing))
    if slower:
        print(f"above {options.limit}:", ", ".join(slower))
    if slower or missing or not measured:
        sys.exit(1)


if __name__ == "__main__":
    main()
