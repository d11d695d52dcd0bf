#!/usr/bin/env python3
"""Runs this crate and other libraries in alternation on the same jobs.

Every library has its job loaded in a process of its own and runs it when its
turn comes; round by round only one computes at a time. All have the same
weights, the same images and the same number of threads. Prints medians in
milliseconds, and for the memory job peak resident sets in megabytes.

Peers that are not installed are left out by name; `pip install -r
requirements.txt` brings the Python ones. Weights, images and ONNX files are
kept in target/peers.
"""

import argparse
import json
import pathlib
import platform
import shutil
import subprocess
import sys

import peers as library
from jobs import JOBS, Job, Kind
from peers import PEERS, Peer
from race import Contestant, Race

OURS = "ours"


def names(known: dict[str, object]):
    """Parses a list of known names, separated by commas."""

    def parse(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",") if name.strip()]
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is not among {', '.join(known)}")
        return chosen

    return parse


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--jobs", type=names(JOBS), default=list(JOBS), help=f"of {', '.join(JOBS)} (default: all)"
    )
    parser.add_argument(
        "--peers",
        type=names(PEERS),
        default=list(PEERS),
        help=f"of {', '.join(PEERS)} (default: all; '' for none)",
    )
    parser.add_argument("--threads", type=positive, default=2, help="of each library (default: 2)")
    parser.add_argument(
        "--rounds", type=positive, default=7, help="turns of each library (default: 7)"
    )
    parser.add_argument("--ours", type=pathlib.Path, help="a built worker of this crate")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args()


def say(*words: object) -> None:
    print(*words, file=sys.stderr, flush=True)


def present(chosen: list[str]) -> tuple[list[Peer], pathlib.Path | None]:
    """The peers that can run, and the worker of the Rust ones."""
    found: list[Peer] = []
    rust_worker = None
    for peer in (PEERS[name] for name in chosen):
        lacking = peer.lacks()
        if lacking is not None:
            say(f"{peer.name} left out: the Python package {lacking} is not installed")
            continue
        if peer.script is None and rust_worker is None:
            rust_worker = built_rust_worker()
        if peer.script is None and rust_worker is None:
            say(f"{peer.name} left out: its worker was not built")
            continue
        found.append(peer)
    return found, rust_worker


def built_rust_worker() -> pathlib.Path | None:
    if shutil.which("cargo") is None:
        return None
    try:
        return library.build_rust_worker()
    except (subprocess.CalledProcessError, OSError) as error:
        say(error)
        return None


def prepared(ours: pathlib.Path, taking_part: list[Peer]) -> pathlib.Path:
    """The folder with weights, images and networks, written if need be."""
    folder = library.target_folder() / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "images.safetensors").exists():
        subprocess.run([ours, "prepare", folder], check=True)
    if any(peer.reads_onnx for peer in taking_part):
        import onnx_models

        onnx_models.write(folder)
    return folder


def row(job: Job, measured: dict[str, float], megabytes: dict[str, float]) -> dict[str, object]:
    """A job's medians as they are printed, and what the processes took."""
    ours = measured.get(OURS)
    others = {name: round(value, 2) for name, value in measured.items() if name != OURS}
    best = min(others.values(), default=None)
    unit = {"unit": "MB"} if job.kind is Kind.MEMORY else {}
    return {
        "job": job.name,
        "ours_ms": None if ours is None else round(ours, 2),
        "peers": others,
        "ratio_to_best": None if ours is None or best is None else round(ours / best, 3),
        **unit,
        **({"peak_mb": {name: round(value) for name, value in megabytes.items()}} if megabytes else {}),
    }


def memory_table(rows: list[dict], taking_part: list[Peer]) -> str:
    """The largest resident set of each process that was timed."""
    names = [OURS, *(peer.name for peer in taking_part)]
    lines = [["peak memory in MB", *names]]
    for entry in rows:
        if "peak_mb" in entry:
            values = [entry["peak_mb"].get(name) for name in names]
            lines.append([entry["job"], *("-" if v is None else str(v) for v in values)])
    return aligned(lines)


def table(rows: list[dict], taking_part: list[Peer]) -> str:
    heads = ["job", OURS, *(peer.name for peer in taking_part), "ratio to best"]
    lines = [heads]
    for entry in rows:
        values = [entry["ours_ms"], *(entry["peers"].get(peer.name) for peer in taking_part)]
        unit = f" ({entry['unit']})" if "unit" in entry else ""
        ratio = entry["ratio_to_best"]
        lines.append(
            [
                entry["job"] + unit,
                *("-" if value is None else f"{value:.1f}" for value in values),
                "-" if ratio is None else f"{ratio:.2f}",
            ]
        )
    return aligned(lines)


def aligned(lines: list[list[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def main() -> None:
    options = arguments()
    taking_part, rust_worker = present(options.peers)
    ours = (options.ours or library.build_ours()).resolve()
    folder = prepared(ours, taking_part)
    versions = [peer.version() for peer in taking_part]
    say(f"{platform.machine()}, {options.threads} threads;", "; ".join(filter(None, versions)))
    rows = []
    for job in (JOBS[name] for name in options.jobs):
        contestants = [Contestant(OURS, [[str(ours), job.name, str(folder)]])]
        for peer in taking_part:
            if peer.runs(job):
                commands = peer.commands(job, folder, options.threads, rust_worker)
                contestants.append(Contestant(peer.name, commands))
        race = Race(job, contestants, options.threads, folder / "logs")
        measured = race.peaks() if job.kind is Kind.MEMORY else race.times(options.rounds)
        rows.append(row(job, measured, race.megabytes))
        say(json.dumps(rows[-1]))
    if options.json:
        print(json.dumps(rows))
    else:
        print(table(rows, taking_part), memory_table(rows, taking_part), sep="\n\n")


if __name__ == "__main__":
    main()
