"""Runs a job in OpenVINO, in f32."""

import openvino

from worker import Task


def main() -> None:
    task = Task()
    settings = {
        "INFERENCE_NUM_THREADS": task.threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = openvino.compile_model(task.folder / f"{task.job.name}.onnx", "CPU", settings)
    request = model.create_infer_request()
    inputs = {0: task.images()}
    task.infer(lambda: request.infer(inputs, share_inputs=True), lambda outputs: outputs[0])


main()
