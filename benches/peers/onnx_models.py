"""Writes the inference jobs' networks as ONNX.

The weights stay in the safetensors file, which serves as ONNX's external data
under another name: rten reads no other suffixes than the customary ones.
"""

import json
import os
import pathlib
import shutil

import onnx
from onnx import TensorProto, helper

import jobs

EXTERNAL_DATA = "weights.onnx_data"
OPSET = 17
IR_VERSION = 9


def write(folder: pathlib.Path) -> None:
    """Writes `JOB.onnx` for every inference job, beside the weights."""
    weights = folder / "weights.safetensors"
    with weights.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(length))
    link(weights, folder / EXTERNAL_DATA)
    for job in jobs.JOBS.values():
        if job.kind is not jobs.Kind.TRAIN:
            model = Writer(8 + length, entries).model(job)
            onnx.save(model, folder / f"{job.name}.onnx")


def link(file: pathlib.Path, name: pathlib.Path) -> None:
    """Links a file to a second name, or copies it if that fails."""
    name.unlink(missing_ok=True)
    try:
        os.link(file, name)
    except OSError:
        shutil.copyfile(file, name)


class Writer:
    """Collects the nodes and tensors of one network."""

    def __init__(self, start: int, entries: dict) -> None:
        self._start = start
        self._entries = entries
        self._nodes: list[onnx.NodeProto] = []
        self._tensors: list[onnx.TensorProto] = []

    def model(self, job: jobs.Job) -> onnx.ModelProto:
        value = "x"
        for layer in job.network.layers:
            value = self._layer(layer, value)
        x = helper.make_tensor_value_info(
            "x", TensorProto.FLOAT, [job.batch, 3, job.side, job.side]
        )
        y = helper.make_tensor_value_info(value, TensorProto.FLOAT, None)
        graph = helper.make_graph(self._nodes, job.name, [x], [y], self._tensors)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)

    def _layer(self, layer: jobs.Layer, value: str) -> str:
        name = layer.name
        match layer:
            case jobs.Conv(padding=padding):
                inputs = [value, *self._parameters(name)]
                shape = {"kernel_shape": [3, 3], "pads": [padding] * 4}
                return self._relu(self._node("Conv", inputs, name, **shape))
            case jobs.Pool():
                return self._node("MaxPool", [value], name, kernel_shape=[2, 2], strides=[2, 2])
            case jobs.Flatten():
                return self._node("Flatten", [value], name)
            case jobs.Dense(relu=relu):
                value = self._node("Gemm", [value, *self._parameters(name)], name, transB=1)
                return self._relu(value) if relu else value
        raise TypeError(f"no ONNX operator for {layer}")

    def _relu(self, value: str) -> str:
        return self._node("Relu", [value], f"{value}_relu")

    def _node(self, operator: str, inputs: list[str], output: str, **attributes) -> str:
        self._nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def _parameters(self, layer: str) -> list[str]:
        names = [f"{layer}.weight", f"{layer}.bias"]
        for name in names:
            begin, end = self._entries[name]["data_offsets"]
            tensor = TensorProto(
                name=name,
                data_type=TensorProto.FLOAT,
                dims=self._entries[name]["shape"],
                data_location=TensorProto.EXTERNAL,
            )
            for key, value in [
                ("location", EXTERNAL_DATA),
                ("offset", str(self._start + begin)),
                ("length", str(end - begin)),
            ]:
                tensor.external_data.add(key=key, value=value)
            self._tensors.append(tensor)
        return names
