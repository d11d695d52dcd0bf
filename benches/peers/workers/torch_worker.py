"""Runs a job in PyTorch."""

import torch
from torch import nn

import jobs
from worker import Task


def network(task: Task) -> nn.Sequential:
    """The job's network. Parameters that are not trained need no gradient."""
    layers: list[nn.Module] = []
    for layer in task.job.network.layers:
        match layer:
            case jobs.Conv(name, in_channels, out_channels, padding):
                conv = nn.Conv2d(in_channels, out_channels, 3, padding=padding, device="meta")
                made = [loaded(conv, task, name), nn.ReLU(inplace=True)]
            case jobs.Pool():
                made = [nn.MaxPool2d(2)]
            case jobs.Flatten():
                made = [nn.Flatten()]
            case jobs.Dense(name, in_features, units, relu):
                linear = nn.Linear(in_features, units, device="meta")
                made = [loaded(linear, task, name), *([nn.ReLU(inplace=True)] if relu else [])]
            case jobs.Dropout(_, rate):
                made = [nn.Dropout(rate)]
        if task.job.frozen and layer in task.job.network.trunk:
            for module in made:
                module.requires_grad_(False)
        layers += made
    return nn.Sequential(*layers)


def loaded(layer: nn.Module, task: Task, name: str) -> nn.Module:
    weight, bias = task.weights(name)
    layer.weight = nn.Parameter(torch.from_numpy(weight))
    layer.bias = nn.Parameter(torch.from_numpy(bias))
    return layer


def train(task: Task, model: nn.Sequential, x: torch.Tensor) -> None:
    labels = torch.from_numpy(task.labels())
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if task.job.network is jobs.TUTORIAL:
        optimizer = torch.optim.RMSprop(
            trained, jobs.RMSPROP_LEARNING_RATE, jobs.RMSPROP_RHO, jobs.RMSPROP_EPSILON
        )
    else:
        optimizer = torch.optim.SGD(trained, jobs.SGD_LEARNING_RATE)
    with torch.no_grad():
        logits = model.eval()(x).numpy()
    model.train()

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    task.train(logits, step)


def main() -> None:
    task = Task(["contiguous", "channels_last"])
    torch.set_num_threads(task.threads)
    torch.set_num_interop_threads(1)
    model = network(task)
    x = torch.from_numpy(task.images())
    if task.variant == "channels_last":
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    if task.job.kind is jobs.Kind.TRAIN:
        train(task, model, x)
    else:
        model.eval().requires_grad_(False)
        with torch.inference_mode():
            task.infer(lambda: model(x), lambda output: output.numpy())


main()
