"""What the Python workers share: arguments, data and protocol.

A worker loads one job, says `ready` with what the job has computed so far, and
then runs it once for each line on standard input, answering with the
milliseconds it took.
"""

import argparse
import json
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jobs import JOBS, Job, Kind

WARM_UPS = 2


class Task:
    """A job, where its data is, and how to run it."""

    def __init__(self, variants: Sequence[str] = ("default",)) -> None:
        parser = argparse.ArgumentParser()
        parser.add_argument("job", choices=JOBS)
        parser.add_argument("folder", type=pathlib.Path)
        parser.add_argument("--threads", type=int, required=True)
        parser.add_argument("--variant", choices=variants, default=variants[0])
        arguments = parser.parse_args()
        self.job: Job = JOBS[arguments.job]
        self.threads: int = arguments.threads
        self.variant: str = arguments.variant
        self.folder: pathlib.Path = arguments.folder
        self._weights = Tensors(self.folder / "weights.safetensors")

    def images(self) -> np.ndarray:
        """The job's batch, `(N, C, H, W)`."""
        images = Tensors(self.folder / "images.safetensors")
        return images[str(self.job.side)][: self.job.batch]

    def labels(self) -> np.ndarray:
        """A class for each image."""
        return np.arange(self.job.batch) % self.job.network.classes

    def weights(self, layer: str) -> tuple[np.ndarray, np.ndarray]:
        """A layer's weight and bias, in PyTorch's order."""
        return self._weights[f"{layer}.weight"], self._weights[f"{layer}.bias"]

    def infer(self, run: Callable[[], object], read: Callable[[object], np.ndarray]) -> None:
        """Serves an inference job; `read` turns an output into an array."""
        computed = []
        if self.job.kind is not Kind.MEMORY:
            computed = [summarize(read(run())) for _ in range(WARM_UPS)]
        serve(computed, run)

    def train(self, logits: np.ndarray, step: Callable[[], float]) -> None:
        """Serves a training job; `step` gives the loss before its update."""
        computed = [summarize(logits), *(float(step()) for _ in range(WARM_UPS))]
        serve(computed, step)


class Tensors:
    """A safetensors file of f32 tensors, read one by one."""

    def __init__(self, path: pathlib.Path) -> None:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            self._entries = json.loads(file.read(length))
        self._path = path
        self._start = 8 + length

    def __getitem__(self, name: str) -> np.ndarray:
        entry = self._entries[name]
        begin, end = entry["data_offsets"]
        values = np.fromfile(self._path, np.float32, (end - begin) // 4, offset=self._start + begin)
        return values.reshape(entry["shape"])


def lines() -> Iterator[str]:
    """The lines of standard input, each as soon as it arrives."""
    return iter(sys.stdin.readline, "")


def serve(computed: Sequence[float], run: Callable[[], object]) -> None:
    """Reports that the job is loaded, then runs it once for each line."""
    print("ready", json.dumps(list(computed)), flush=True)
    for _ in lines():
        start = time.perf_counter()
        run()
        print("ms", (time.perf_counter() - start) * 1e3, flush=True)


def summarize(values: np.ndarray) -> float:
    """The mean of the positive values: the same for every order of an output's
    dimensions, and whether or not a last ReLU was applied."""
    return float(np.maximum(values, 0).mean(dtype=np.float64))
