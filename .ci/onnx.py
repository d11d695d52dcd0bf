"""Runs exported ONNX files in ONNX Runtime.

Usage: onnx.py FOLDER: for every NAME.onnx in FOLDER, NAME.safetensors holds
`input` and the outputs that are expected, `output0`, `output1`, ...
Needs numpy, onnx, onnxruntime and safetensors.
"""

import pathlib
import sys

# This file's own folder would make this file pass for the package "onnx".
sys.path.pop(0)

import numpy
import onnx
import onnxruntime
from safetensors.numpy import load_file

TOLERANCE = 1e-4


def check(path):
    """Largest error of a file's outputs, relative to values above 1."""
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    values = load_file(path.with_suffix(".safetensors"))
    (entry,) = session.get_inputs()
    outputs = session.run(None, {entry.name: values["input"]})
    expected = [values[f"output{index}"] for index in range(len(values) - 1)]
    assert len(outputs) == len(expected), f"{len(outputs)} outputs, not {len(expected)}"
    worst = 0.0
    for output, wanted in zip(outputs, expected):
        assert output.shape == wanted.shape, f"{output.shape}, not {wanted.shape}"
        error = numpy.abs(output - wanted) / numpy.maximum(numpy.abs(wanted), 1.0)
        worst = max(worst, float(error.max(initial=0.0)))
    assert worst <= TOLERANCE, f"off by {worst}"
    return worst


def main():
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.onnx"))
    if not paths:
        sys.exit(f"no ONNX files in {sys.argv[1]}")
    for path in paths:
        print(f"{path.stem}: {check(path):.1e}")


if __name__ == "__main__":
    main()
