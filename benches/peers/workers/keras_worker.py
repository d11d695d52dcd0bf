"""Runs a job in Keras on TensorFlow."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import jobs
from worker import Task


def network(task: Task) -> keras.Model:
    """The job's network, channels last, with the weights of the file."""
    x = inputs = keras.Input((task.job.side, task.job.side, 3))
    flattened = None
    for layer in task.job.network.layers:
        match layer:
            case jobs.Conv(name, _, filters, padding):
                made = layers.Conv2D(
                    filters,
                    3,
                    padding="same" if padding else "valid",
                    activation="relu",
                    name=name,
                    **initializers(*conv_weights(task, name)),
                )
            case jobs.Pool(name):
                made = layers.MaxPooling2D(name=name)
            case jobs.Flatten(name):
                made = layers.Flatten(name=name)
                flattened = x.shape[1:]
            case jobs.Dense(name, _, units, relu):
                made = layers.Dense(
                    units,
                    activation="relu" if relu else None,
                    name=name,
                    **initializers(*dense_weights(task, name, flattened)),
                )
                flattened = None
            case jobs.Dropout(name, rate):
                made = layers.Dropout(rate, name=name)
        made.trainable = not (task.job.frozen and layer in task.job.network.trunk)
        x = made(x)
    return keras.Model(inputs, x)


def initializers(kernel: np.ndarray, bias: np.ndarray) -> dict[str, Callable]:
    """Initializes a layer with these values, without drawing random ones."""
    return {
        "kernel_initializer": lambda shape, dtype: tf.constant(kernel, dtype, shape),
        "bias_initializer": lambda shape, dtype: tf.constant(bias, dtype, shape),
    }


def conv_weights(task: Task, layer: str) -> tuple[np.ndarray, np.ndarray]:
    weight, bias = task.weights(layer)
    return weight.transpose(2, 3, 1, 0), bias


def dense_weights(
    task: Task, layer: str, flattened: tuple[int, ...] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Keras' kernel. After a feature map, its rows are in Keras' flattening order."""
    weight, bias = task.weights(layer)
    if flattened is not None:
        height, width, channels = flattened
        weight = weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
        weight = weight.reshape(len(bias), -1)
    return weight.T, bias


def train(task: Task, model: keras.Model, x: np.ndarray) -> None:
    if task.job.network is jobs.TUTORIAL:
        optimizer = keras.optimizers.RMSprop(
            jobs.RMSPROP_LEARNING_RATE, jobs.RMSPROP_RHO, epsilon=jobs.RMSPROP_EPSILON
        )
    else:
        optimizer = keras.optimizers.SGD(jobs.SGD_LEARNING_RATE)
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(from_logits=True),
        jit_compile=task.variant == "jit",
    )
    labels = keras.utils.to_categorical(task.labels(), task.job.network.classes)
    logits = model(x, training=False).numpy()

    def step() -> float:
        # train_on_batch would return the mean over several steps.
        model.reset_metrics()
        return model.train_on_batch(x, labels)

    task.train(logits, step)


def main() -> None:
    task = Task(["graph", "jit"])
    tf.config.threading.set_intra_op_parallelism_threads(task.threads)
    tf.config.threading.set_inter_op_parallelism_threads(task.threads)
    model = network(task)
    x = np.ascontiguousarray(task.images().transpose(0, 2, 3, 1))
    if task.job.kind is jobs.Kind.TRAIN:
        train(task, model, x)
    else:
        batch = tf.constant(x)
        run = tf.function(lambda x: model(x, training=False), jit_compile=task.variant == "jit")
        task.infer(lambda: run(batch).numpy(), lambda output: output)


main()
