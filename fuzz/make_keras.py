"""Writes the corpora of the fuzz targets `keras` and `header` with h5py: make_keras.py corpus"""
import json
import os
import sys
import zipfile

import h5py
import numpy

os.chdir(sys.argv[1])
os.makedirs("keras", exist_ok=True)
os.makedirs("header", exist_ok=True)
layers = {
    "block1_conv1": {"kernel": numpy.zeros((3, 3, 3, 1), "f4"), "bias": numpy.zeros(1, "f4")},
    "block1_bn1": {name: numpy.ones(1, "f4") for name in ("gamma", "beta", "moving_mean", "moving_variance")},
}


def listed(path, root="/", **options):
    with h5py.File(path, "w", **options) as file:
        group = file.require_group(root)
        group.attrs["layer_names"] = list(layers) if options else [name.encode() for name in layers]
        for layer, weights in layers.items():
            inner = group.create_group(layer)
            names = [f"{layer}/{name}:0" for name in weights]
            inner.attrs["weight_names"] = names if options else [name.encode() for name in names]
            for name, array in zip(names, weights.values()):
                inner.create_dataset(name, data=array)


def numbered(path, named=True, **options):
    with h5py.File(path, "w", **options) as file:
        for kind, (layer, weights) in zip(("conv2d", "batch_normalization"), layers.items()):
            variables = file.create_group(f"layers/{kind}/vars")
            if named:
                variables.attrs["name"] = layer
            for index, array in enumerate(weights.values()):
                variables.create_dataset(str(index), data=array)


listed("keras/listed.h5")
listed("keras/model.h5", "model_weights", libver="latest")
numbered("keras/unnamed.weights.h5", named=False, libver="latest")
numbered("keras/numbered.weights.h5")
with zipfile.ZipFile("keras/small.keras", "w") as archive:
    archive.write("keras/unnamed.weights.h5", "model.weights.h5")

entry = {"dtype": "F32", "shape": [1, 3, 3, 3], "data_offsets": [0, 108]}
bias = {"dtype": "F32", "shape": [1], "data_offsets": [108, 112]}
for name, header in {
    "plain": {"features.0.weight": entry, "features.0.bias": bias},
    "keras": {"__metadata__": {"format": "pt"}, "block1_conv1/bias": bias,
              "block1_conv1/kernel": {**entry, "shape": [3, 3, 3, 1]}},
    "empty": {},
}.items():
    with open(f"header/{name}", "wb") as file:
        file.write(json.dumps(header).encode() + (b"\x01" * 112 if header else b""))
