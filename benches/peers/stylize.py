"""Paints one image in the style of another with this crate and in PyTorch.

Usage: stylize.py TRUNK.safetensors [--size 256] [--steps 100] [--rounds 3]

Both take VGG16's trunk from the file (torchvision's keys, f32), the same two
computed images and the same recipe (Gatys et al., 2016): average pools,
content at conv4_2, style at conv1_1 to conv5_1, L-BFGS of ten remembered
steps. They take turns, and the losses must agree. PyTorch runs channels first
and channels last; the ratio is to the faster. Needs torch, and the example
built by `cargo build --release --example style`.
"""

import argparse
import json
import os
import pathlib
import re
import struct
import subprocess
import tempfile
import time
import zlib

import torch
import torch.nn.functional as F

CONVOLUTIONS = [0, 2, None, 5, 7, None, 10, 12, 14, None, 17, 19, 21, None, 24]
CONTENT, STYLE = 19, [0, 5, 10, 17, 24]
WEIGHTS = {"content": 1.0, "style": 100.0, "variation": 1.0}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
ROOT = pathlib.Path(__file__).resolve().parents[2]


def load(path):
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    data = bytearray(raw[8 + length :])
    return {
        key: torch.frombuffer(data, dtype=torch.float32, offset=entry["data_offsets"][0],
                              count=(entry["data_offsets"][1] - entry["data_offsets"][0]) // 4)
        .reshape(entry["shape"])
        for key, entry in header.items()
    }


def image(size, seed):
    """Smooth noise, (size, size, 3) in 8 bits."""
    torch.manual_seed(seed)
    noise = F.interpolate(torch.rand(1, 3, 24, 24), (size, size), mode="bicubic")
    return (noise[0].permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8)


def save_png(path, pixels):
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + bytes(row.flatten().tolist()) for row in pixels)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
                     + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def prepared(pixels):
    x = pixels.permute(2, 0, 1)[None].float() / 255
    return (x - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


def gram(maps):
    rows = maps.flatten(2)
    return rows @ rows.transpose(1, 2) / rows.shape[2]


def in_torch(weights, content, style, steps, layout):
    """Returns the seconds, the first loss and the last one."""
    kernels = {n: weights[f"features.{n}.weight"].contiguous(memory_format=layout)
               for n in CONVOLUTIONS if n is not None}

    def features(x):
        # L-BFGS takes only channels first.
        x = x.contiguous(memory_format=layout)
        found = {}
        for n in CONVOLUTIONS:
            if n is None:
                x = F.avg_pool2d(x, 2)
            else:
                x = F.relu(F.conv2d(x, kernels[n], weights[f"features.{n}.bias"], padding=1))
                found[n] = x
        return found

    def relative(value, target):
        return F.mse_loss(value, target) / (target**2).mean()

    start = time.perf_counter()
    with torch.no_grad():
        wanted = features(content)[CONTENT]
        painted = features(style)
        grams = {n: gram(painted[n]) for n in STYLE}
    x = content.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([x], lr=1, max_iter=1, history_size=10)
    # From black to white, the mean over channels.
    span = sum(1 / s for s in STD) / 3
    losses = []

    def closure():
        optimizer.zero_grad()
        found = features(x)
        variation = F.mse_loss(x[:, :, 1:], x[:, :, :-1]) + F.mse_loss(x[..., 1:], x[..., :-1])
        styles = sum(relative(gram(found[n]), grams[n]) for n in STYLE) / len(STYLE)
        loss = (WEIGHTS["variation"] / span**2 * variation + WEIGHTS["style"] * styles
                + WEIGHTS["content"] * relative(found[CONTENT], wanted))
        loss.backward()
        losses.append(loss.item())
        return loss

    for _ in range(steps):
        optimizer.step(closure)
    return time.perf_counter() - start, losses[0], losses[-1]


def in_this_crate(trunk, paths, options):
    """As `in_torch`."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    command = [target / "release/examples/style", "--weights", trunk, "--preprocess",
               "torchvision", "--content", paths[0], "--style", paths[1],
               "--size", str(options.size), "--steps", str(options.steps)]
    said = subprocess.run(command, cwd=paths[0].parent, check=True, capture_output=True, text=True)
    first, last, seconds = re.search(r"loss (\S+) to (\S+) in (\S+) s", said.stdout).groups()
    return float(seconds), float(first), float(last)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("trunk", type=pathlib.Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    trunk = options.trunk.resolve()
    weights = load(trunk)
    pixels = [image(options.size, seed) for seed in (1, 2)]
    inputs = [prepared(p) for p in pixels]
    layouts = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
    best = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder) / f"{name}.png" for name in ("content", "style")]
        for path, p in zip(paths, pixels):
            save_png(path, p)
        for _ in range(options.rounds):
            found = {"this crate": in_this_crate(trunk, paths, options)}
            for name, layout in layouts.items():
                found[f"PyTorch, {name}"] = in_torch(weights, *inputs, options.steps, layout)
            starts = [first for _, first, _ in found.values()]
            assert max(starts) - min(starts) < 1e-3 * max(starts), f"losses differ: {found}"
            for name, (seconds, first, last) in found.items():
                print(f"{name:24} {seconds:7.2f} s   loss {first:.4f} to {last:.4f}", flush=True)
                best[name] = min(seconds, best.get(name, seconds))
    ours = best.pop("this crate")
    print(f"{min(best.values()) / ours:.2f} times as fast as PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
