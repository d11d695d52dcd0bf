#!/usr/bin/env python3
"""Counts the instructions of the register tile's inner loop for aarch64, in a binary.

    .ci/loops.py BINARY [--least PERCENT]

Finds the innermost loops that add to 24 registers and prints them by size. With
--least, the most frequent loop over four steps, the one for packed operands, must
consist of fused multiply-adds to this part."""
import argparse, collections, re, subprocess, sys

LINE = re.compile(r"^\s*([0-9a-f]+):\t(\S+)\s*(.*)$")
BRANCHES = re.compile(r"^(b|b\.\w+|cbn?z|tbn?z)$")
ACCUMULATORS = 24  # six rows of four registers
STEPS = 4


def functions(binary):
    """The instructions of each function: (address, mnemonic, operands)."""
    command = ["aarch64-linux-gnu-objdump", "-d", "--no-show-raw-insn", binary]
    body = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.endswith(">:\n"):
                yield body
                body = []
            elif found := LINE.match(line):
                body.append((int(found[1], 16), found[2], found[3]))
    yield body


def innermost_loops(body):
    """The instructions of each loop that contains no other, and no call."""
    position = {address: i for i, (address, *_) in enumerate(body)}
    spans = []
    for i, (address, mnemonic, operands) in enumerate(body):
        target = re.search(r"\b([0-9a-f]+) <", operands)
        if BRANCHES.match(mnemonic) and target:
            start = position.get(int(target[1], 16))
            if start is not None and start < i:
                spans.append((start, i))
    for start, end in spans:
        inner = any((s, e) != (start, end) and start <= s and e <= end for s, e in spans)
        loop = body[start : end + 1]
        if not inner and all(mnemonic not in ("bl", "blr") for _, mnemonic, _ in loop):
            yield loop


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("--least", type=float)
    options = parser.parse_args()
    found = collections.Counter()
    for body in functions(options.binary):
        for loop in innermost_loops(body):
            sums = [operands.split(",")[0] for _, name, operands in loop if name == "fmla"]
            if len(set(sums)) == ACCUMULATORS:
                found[len(sums), len(loop)] += 1
    for (products, length), count in sorted(found.items()):
        percent = 100 * products / length
        print(f"{count} loops of {length} instructions: {products} multiply, {percent:.1f} %")
    if options.least:
        whole = {loop: n for loop, n in found.items() if loop[0] >= ACCUMULATORS * STEPS}
        if not whole:
            sys.exit(f"no loop over {STEPS} steps found")
        products, length = max(whole, key=whole.get)
        if 100 * products < options.least * length:
            sys.exit(f"{products} of {length} instructions are less than {options.least} %")


main()
