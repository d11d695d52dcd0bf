"""The libraries that are compared, and the commands that run their jobs."""

import importlib.metadata
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jobs
from jobs import Job, Kind

HERE = pathlib.Path(__file__).resolve().parent
CRATE = HERE.parent.parent


def everything(_: Job) -> bool:
    return True


def inference(job: Job) -> bool:
    return job.kind is not Kind.TRAIN


def whole_network_on_one(job: Job) -> bool:
    """The only jobs that candle-transformers' VGG can run."""
    return job.kind is Kind.INFER and job.network is jobs.VGG16 and job.batch == 1


@dataclass(frozen=True)
class Peer:
    """A library that runs jobs in a separate worker.

    For each job, the fastest of several variants counts.
    """

    name: str
    runs: Callable[[Job], bool]
    packages: tuple[str, ...]
    # A script among the workers; without one the Rust worker runs the peer.
    script: str | None = None
    variants: tuple[str, ...] = ()

    @property
    def reads_onnx(self) -> bool:
        return "onnx" in self.packages

    def lacks(self) -> str | None:
        """The first Python package that is not installed."""
        for package in self.packages:
            if importlib.util.find_spec(package) is None:
                return package
        return None

    def version(self) -> str:
        if self.script is None:
            return ""
        distributions = importlib.metadata.packages_distributions()
        return ", ".join(
            f"{package} {importlib.metadata.version(distributions[package][0])}"
            for package in self.packages
            if package not in ("numpy", "onnx")
        )

    def commands(
        self, job: Job, folder: pathlib.Path, threads: int, rust_worker: pathlib.Path | None
    ) -> list[list[str]]:
        """The command that runs a job, for each variant."""
        arguments = [job.name, str(folder), "--threads", str(threads)]
        if self.script is None:
            return [[str(rust_worker), self.name, *arguments]]
        command = [sys.executable, str(HERE / "workers" / self.script), *arguments]
        if not self.variants:
            return [command]
        return [[*command, "--variant", variant] for variant in self.variants]


PEERS = {
    peer.name: peer
    for peer in [
        Peer("onnxruntime", inference, ("numpy", "onnx", "onnxruntime"), "ort_worker.py"),
        Peer("openvino", inference, ("numpy", "onnx", "openvino"), "openvino_worker.py"),
        Peer(
            "torch",
            everything,
            ("numpy", "torch"),
            "torch_worker.py",
            ("contiguous", "channels_last"),
        ),
        Peer(
            "keras",
            everything,
            ("numpy", "keras", "tensorflow"),
            "keras_worker.py",
            ("graph", "jit"),
        ),
        Peer("candle", whole_network_on_one, ()),
        Peer("rten", inference, ("onnx",)),
        Peer("tract", inference, ("onnx",)),
    ]
}


def target_folder() -> pathlib.Path:
    """Where cargo builds the crate."""
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", CRATE / "target")).resolve()


def executables(
    command: Sequence[str], folder: pathlib.Path, environment: Mapping[str, str]
) -> dict[str, pathlib.Path]:
    """The executables that a cargo command builds, by target."""
    command = [*command, "--message-format=json-render-diagnostics"]
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    found = {
        message["target"]["name"]: pathlib.Path(message["executable"])
        for message in messages
        if message.get("executable")
    }
    if not found:
        raise FileNotFoundError(f"{' '.join(command)} built nothing that can be run")
    return found


def build(arguments: Sequence[str], folder: pathlib.Path) -> pathlib.Path:
    """Builds one executable with cargo and returns its path."""
    found = executables(["cargo", "build", "--release", *arguments], folder, os.environ)
    return next(iter(found.values()))


def build_ours() -> pathlib.Path:
    """This crate's worker."""
    return build(["--no-default-features", "--bench", "peers"], CRATE)


def build_rust_worker() -> pathlib.Path:
    """The worker of the other Rust crates, which is built separately."""
    target = target_folder() / "peers" / "rust"
    return build(["--locked", "--target-dir", str(target)], HERE / "rust-peers")
