"""What a change of the compiler must leave alone: ``python -m benchmarks.plans`` prints plans and weights to compare.

    python -m benchmarks.plans plans > before.txt       # training and inference plans of all specs, call by call
    python -m benchmarks.plans weights > before.txt     # a hash of the weights of six nets after 50 steps
    python -m benchmarks.plans same before.txt after.txt

``same`` applies the table RENAMED to the names of kernels, and says where two prints part.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from .nets import NETS, ROOT, load_model

STEPS = 50
# Words of kernels' names, before -> after: a change gave the family or the variant another name, or merged twins.
RENAMED = {
    "affine2": "bn_backward_apply",
    "normalize_sums": "bn_backward_reduce",
    "merge_sums": "bn_backward_merge",
    "normalize_factors": "bn_backward_coefficients",
    "add_factors": "add_coefficients",
    "plus": "addend",
}


def main() -> int:
    """Run the command that the first argument names."""
    command, *arguments = sys.argv[1:] or ["help"]
    if command == "plans":
        for line in plans():
            print(line)
    elif command == "weights":
        for line in weights(arguments or list(NETS)):
            print(line, flush=True)
    elif command == "same" and len(arguments) == 2:
        before, after = (Path(a).read_text(encoding="utf-8").splitlines() for a in arguments)
        for number, (one, other) in enumerate(zip_longest(map(renamed, before), after), 1):
            if one != other:
                print(f"line {number} differs\n- {one}\n+ {other}")
                return 1
        print(f"{len(after):,} lines are the same")
    else:
        print(__doc__)
        return 2
    return 0


def plans() -> Iterator[str]:
    """Yield the lines of both plans of each spec of the project."""
    from cnnspec.compiler import Compiler

    for spec in sorted([*(ROOT / "specs").rglob("*.cnn"), *(ROOT / "benchmarks" / "specs").glob("*.cnn")]):
        for exact in (False, True):
            compiler = Compiler.from_path(spec)
            compiler = compiler.with_options(batch=min(compiler.model.train.batch, 64), exact=exact)
            for name, plan in (("training", compiler.plan), ("inference", compiler.inference_plan)):
                yield f"{spec.name} {name}{' exact' if exact else ''}"
                yield from lines_of(plan)


def lines_of(plan: Any) -> Iterator[str]:
    """Yield a plan's numbers: memory, segments, and each call with its operands, places and arguments."""
    yield f"  {plan.batch} {plan.dtype} {plan.arena} {plan.workspace} {plan.parameters} {plan.states}"
    for segment in plan.segments:
        yield f"  segment {int(segment.domain)} {segment.group} {segment.prepare} {segment.every_shard}"
        for call in segment.calls:
            operands = " ".join(map(operand, call.operands))
            numbers = " ".join(f"{a:g}" if isinstance(a, float) else str(int(a)) for a in call.args)
            yield f"    {call.kernel} {operands} [{numbers}] {int(call.when)} {call.layer}"


def operand(o: Any) -> str:
    """Return where an operand lies and how far it reaches."""
    b = o.buffer
    place = f"{b.dtype}x{b.elements}@{b.offset}+{o.offset}:{o.extent}"
    return f"{'=' if o.write else ''}{place}/{o.block}/{o.sample}"


def renamed(line: str) -> str:
    """Return a line of a print from before with the names of now."""
    indent, word = line[: len(line) - len(line.lstrip())], line.split(" ")
    place = len(indent)
    if indent == "    ":
        word[place] = ".".join(RENAMED.get(w, w) for w in word[place].split("."))
    return " ".join(word)


def weights(names: list[str]) -> Iterator[str]:
    """Yield a hash of each net's weights after 50 steps on random images."""
    from cnnspec.compiler import Compiler
    from cnnspec.options import Options
    from cnnspec.runtime.network import Network

    for name in names:
        model, batch = load_model(name), NETS[name].batch
        network = Network(Compiler.of(model, Options(batch=batch)))
        rng = np.random.default_rng(0)
        for _ in range(STEPS):
            x = rng.standard_normal((batch, *model.input_shape), np.float32)
            y = rng.integers(0, model.output_shape[0], batch).astype(np.int32)
            result = network.train_step(x, y, lr=NETS[name].checked_rate)
        digest = hashlib.sha256()
        for key, value in sorted(network.parameters().items()):
            digest.update(key.encode() + value.tobytes())
        yield f"{name} {digest.hexdigest()[:16]} loss {result.loss!r}"


if __name__ == "__main__":
    sys.exit(main())
