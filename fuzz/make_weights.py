"""Writes the corpus of the fuzz target `weights` with PyTorch: make_weights.py corpus/weights"""
import collections
import os
import sys

import torch

os.chdir(sys.argv[1])
weight = torch.arange(27, dtype=torch.float32).reshape(1, 3, 3, 3)
state = collections.OrderedDict([("features.0.weight", weight), ("features.0.bias", torch.zeros(1))])
torch.save(state, "legacy.pth", _use_new_zipfile_serialization=False)
torch.save(state, "protocol2.pth")
turned = {"state_dict": {"module." + key: value for key, value in state.items()}, "epoch": 3}
turned["state_dict"]["module.features.0.weight"] = weight.to(memory_format=torch.channels_last)
turned["optimizer"] = {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
torch.save(turned, "wrapped5.pth", pickle_protocol=5)
parameters = {key: torch.nn.Parameter(value) for key, value in state.items()}
torch.save(parameters, "parameters.pth", _use_new_zipfile_serialization=False)
torch.save(torch.nn.Conv2d(1, 1, 1), "whole_model.pth")
