"""Runs a job in ONNX Runtime."""

import onnxruntime as ort

from worker import Task


def main() -> None:
    task = Task()
    options = ort.SessionOptions()
    options.intra_op_num_threads = task.threads
    session = ort.InferenceSession(
        task.folder / f"{task.job.name}.onnx", options, providers=["CPUExecutionProvider"]
    )
    inputs = {"x": task.images()}
    task.infer(lambda: session.run(None, inputs), lambda outputs: outputs[0])


main()
