"""Runs workers in alternation: all stay loaded, one computes at a time."""

import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs import Job

# Idle threads of the worker before may still be spinning.
SETTLE_SECONDS = 0.25
TRIALS = 2
# Sums of the same f32 values in different orders stay far closer; a step of
# training moves the loss by more.
TOLERANCE = 1e-5


class Failed(Exception):
    """A worker that ended without an answer."""


class Worker:
    """A process that has loaded a job and runs it on request."""

    def __init__(self, command: Sequence[str], threads: int, log: pathlib.Path) -> None:
        self._log = log
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment(threads),
            )
        try:
            self.computed: list[float] = json.loads(self._answer("ready"))
        except BaseException:
            self.stop()
            raise

    def run(self) -> float:
        """Runs the job once, and returns the milliseconds it took."""
        try:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass
        return float(self._answer("ms"))

    def peak_megabytes(self) -> float:
        """The largest resident set so far. Raises OSError if the system does not
        report it."""
        status = pathlib.Path(f"/proc/{self._process.pid}/status").read_text()
        kibibytes = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
        if kibibytes is None:
            raise OSError("the system does not tell a process' peak memory")
        return int(kibibytes[1]) * 1024 / 1e6

    def stop(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _answer(self, kind: str) -> str:
        for line in self._process.stdout:
            word, _, rest = line.partition(" ")
            if word == kind:
                return rest
        status = self._process.wait()
        lines = self._log.read_text(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no message")
        raise Failed(f"ended with status {status}: {last} (see {self._log})")


def environment(threads: int) -> dict[str, str]:
    """Sets the same number of threads for all, allows only the CPU, and adds
    this folder to Python's path."""
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "RTEN_NUM_THREADS"]
    return {
        **os.environ,
        **dict.fromkeys(names, str(threads)),
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(pathlib.Path(__file__).resolve().parent),
    }


@dataclass
class Contestant:
    """A library on a job: the commands to run it, and what was measured."""

    name: str
    commands: list[list[str]]
    worker: Worker | None = None
    times: list[float] = field(default_factory=list)


class Race:
    """One job, run by every contestant; the first is the reference."""

    def __init__(
        self, job: Job, contestants: list[Contestant], threads: int, logs: pathlib.Path
    ) -> None:
        self._job = job
        self._contestants = contestants
        self._threads = threads
        self._logs = logs
        self.megabytes: dict[str, float] = {}

    def times(self, rounds: int) -> dict[str, float]:
        """The median milliseconds of each contestant that could run the job;
        the largest resident sets of their processes are in `megabytes`."""
        try:
            for contestant in self._contestants:
                self._enter(contestant)
            for turn in range(rounds):
                self._round(turn)
            self._weigh()
        finally:
            for contestant in self._contestants:
                if contestant.worker is not None:
                    contestant.worker.stop()
        return {
            contestant.name: statistics.median(contestant.times)
            for contestant in self._contestants
            if contestant.times
        }

    def peaks(self) -> dict[str, float]:
        """The peak resident set, in megabytes, of fresh processes that load the
        job and run it once; the least of each contestant's variants."""
        peaks: dict[str, float] = {}
        for contestant in self._contestants:
            for command in contestant.commands:
                try:
                    with self._start(contestant, command) as worker:
                        worker.run()
                        peak = worker.peak_megabytes()
                except (Failed, OSError) as error:
                    self._skip(contestant, error)
                else:
                    peaks[contestant.name] = min(peak, peaks.get(contestant.name, math.inf))
        return peaks

    def _enter(self, contestant: Contestant) -> None:
        """Starts the contestant's fastest variant."""
        best = math.inf
        for command in contestant.commands:
            try:
                worker = self._start(contestant, command)
            except (Failed, OSError) as error:
                self._skip(contestant, error)
                continue
            if len(contestant.commands) == 1:
                contestant.worker = worker
                break
            try:
                time.sleep(SETTLE_SECONDS)
                trial = min(worker.run() for _ in range(TRIALS))
            except Failed as error:
                self._skip(contestant, error)
                trial = math.inf
            slower = contestant.worker if trial < best else worker
            if trial < best:
                best, contestant.worker = trial, worker
            if slower is not None:
                slower.stop()
        self._compare(contestant)

    def _start(self, contestant: Contestant, command: list[str]) -> Worker:
        variant = contestant.commands.index(command)
        log = self._logs / f"{self._job.name}-{contestant.name}-{variant}.log"
        return Worker(command, self._threads, log)

    def _round(self, turn: int) -> None:
        """Runs every contestant once. Each round begins with the next one."""
        running = [contestant for contestant in self._contestants if contestant.worker is not None]
        for place in range(len(running)):
            contestant = running[(turn + place) % len(running)]
            time.sleep(SETTLE_SECONDS)
            try:
                # A process that slept may have lost pages and caches.
                contestant.worker.run()
                for _ in range(self._job.calls):
                    contestant.times.append(contestant.worker.run())
            except Failed as error:
                self._skip(contestant, error)
                contestant.worker.stop()
                contestant.worker = None
                contestant.times.clear()

    def _weigh(self) -> None:
        for contestant in self._contestants:
            if contestant.worker is not None:
                try:
                    self.megabytes[contestant.name] = contestant.worker.peak_megabytes()
                except OSError as error:
                    self._skip(contestant, error)

    def _compare(self, contestant: Contestant) -> None:
        """Warns if a contestant's results differ from the first one's."""
        first = self._contestants[0].worker
        if first is None or contestant.worker is None:
            return
        # After the first forward pass, dropout makes every run different.
        several = slice(1) if self._job.has_dropout else slice(None)
        pairs = zip(first.computed[several], contestant.worker.computed[several], strict=False)
        for expected, actual in pairs:
            if not math.isclose(expected, actual, rel_tol=TOLERANCE):
                note = f"computes {actual:.6g} where {self._contestants[0].name} has {expected:.6g}"
                print(f"{self._job.name}: {contestant.name} {note}", file=sys.stderr)
                return

    def _skip(self, contestant: Contestant, error: Exception) -> None:
        print(f"{self._job.name}: {contestant.name} left out: {error}", file=sys.stderr)
