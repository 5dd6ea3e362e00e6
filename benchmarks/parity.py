"""How far float32 is from float64, ours and PyTorch's: optimizers over many steps, and sums of many numbers.

    python -m benchmarks.parity [--peers DIR] [--only optimizers,sums] [--match TEXT]

PyTorch computes everything in float64, which is the reference, and in float32 with both layouts of images; the closer
one counts. Sums are longer than any usual net has them. Gradients are read from the velocity after a first step of SGD,
which is the gradient itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnnspec.compiler import Compiler
from cnnspec.ir.fields import Shape
from cnnspec.model.model import Model
from cnnspec.options import Options
from cnnspec.runtime.network import Network

from .exchange import twins, write_net
from .nets import ROOT
from .setting import PEERS, peers_python

STEPS, BATCH, POOL = 50, 64, 8
LENET = ROOT / "specs" / "fashion.cnn"
OPTIMIZERS = (
    "sgd lr=0.05 momentum=0.9",
    "sgd lr=0.0005 momentum=0.999",
    "adam lr=0.001",
    "adam lr=0.001 beta2=0.999999",
    "adamw lr=0.001",
    "adamw lr=0.001 beta2=0.999999",
)


@dataclass(frozen=True)
class Sums:
    """A net whose layers add up many numbers; ``shows``: what of it to compare, ``y`` or the names of parameters.

    A trainable parameter stands for its gradient. Pixels are uniform in 0..1 where they are ``positive``, as behind a
    relu, else normally distributed.
    """

    title: str
    spec: str
    shows: tuple[str, ...]
    batch: int = 8
    positive: bool = False
    exact: bool = True


CONV, DEPTHWISE = ("conv.weight", "conv.bias"), ("depthwise.weight", "depthwise.bias")
NORM = ("bn.running_mean", "bn.running_var", "bn.weight", "bn.bias")
SUMS = (
    Sums("mean of 224x224", "input 224x224x16\navgpool global\nflatten", ("y",), positive=True),
    Sums("mean of 56x56", "input 56x56x64\navgpool global\nflatten", ("y",), positive=True),
    Sums("gate of 112x112", "input 112x112x8\nmultiply {\n  | identity\n  | avgpool global -> conv 8 1x1\n}\nflatten",
         ("conv.weight", "conv.bias")),
    Sums("dense of 4,096", "input 16x16x16\nflatten\ndense 64", ("y",)),
    Sums("dense of 25,088, 10 outputs", "input 7x7x512\nflatten\ndense 10", ("y",)),
    Sums("dense of 25,088, 256 outputs", "input 7x7x512\nflatten\ndense 256", ("y",)),
    Sums("dense of 25,088, one sample", "input 7x7x512\nflatten\ndense 256", ("y",), batch=1),
    Sums("dense of 25,088, positive", "input 7x7x512\nflatten\ndense 64", ("y",), positive=True),
    Sums("dense of 200,704", "input 224x224x4\nflatten\ndense 10", ("y",)),
    Sums("dense to 25,088, input gradient", "input 1x1x8\nflatten\nfirst: dense 16\ndense 25088", ("first.weight",)),
    Sums("dense, weight gradient, 2,048 samples", "input 1x1x64\nflatten\ndense 48", ("dense.weight", "dense.bias"),
         batch=2048),
    Sums("conv 3x3 of 512 channels", "input 14x14x512\nconv 32 3x3\nflatten", ("y",)),
    Sums("the same by Winograd's", "input 14x14x512\nconv 32 3x3\nflatten", ("y",), exact=False),
    Sums("conv 1x1 of 2,048 channels", "input 7x7x2048\nconv 64 1x1\nflatten", ("y",)),
    Sums("conv 7x7 of 128 channels", "input 14x14x128\nconv 32 7x7\nflatten", ("y",)),
    Sums("conv gradient, 3x3, 224x224x3", "input 224x224x3\nconv 16 3x3\nflatten", CONV),
    Sums("conv gradient, 7x7, 224x224x3", "input 224x224x3\nconv 16 7x7 stride=2\nflatten", CONV),
    Sums("conv gradient, 5x5, 224x224x1", "input 224x224x1\nconv 6 5x5\nflatten", CONV),
    Sums("conv gradient, 3x3, 112x112x32", "input 112x112x32\nconv 32 3x3\nflatten", CONV),
    Sums("the same by Winograd's", "input 112x112x32\nconv 32 3x3\nflatten", CONV, exact=False),
    Sums("the same, positive", "input 112x112x32\nconv 32 3x3\nflatten", CONV, positive=True),
    Sums("conv gradient, 1x1, 112x112x64", "input 112x112x64\nconv 64 1x1\nflatten", CONV),
    Sums("depthwise gradient, 3x3, 112x112x32", "input 112x112x32\ndepthwise 3x3\nflatten", DEPTHWISE),
    Sums("depthwise gradient, 5x5, 112x112x32", "input 112x112x32\ndepthwise 5x5\nflatten", DEPTHWISE),
    Sums("batch norm, 224x224x16", "input 224x224x16\nbn\nflatten", NORM, positive=True),
    Sums("batch norm, 28x28x128", "input 28x28x128\nbn\nflatten", NORM, batch=32, positive=True),
    Sums("softmax of 50,000", "input 1x1x16\nflatten\ndense 50000\nsoftmax", ("y",)),
)  # fmt: skip


# ---- what PyTorch computes -----------------------------------------------------------------------------
def ask_torch(python: str, folder: Path, job: dict[str, object]) -> dict[str, dict[str, np.ndarray]]:
    """Return what run_parity.py writes for a job: arrays by name, for each of its kinds of numbers."""
    (folder / "job.json").write_text(json.dumps(job))
    subprocess.run([python, "-m", "benchmarks.run_parity", str(folder)], cwd=ROOT, check=True, env=dict(os.environ))
    found = {}
    for kind in ("float64", "eager", "channels_last"):
        with np.load(folder / f"{kind}.npz", allow_pickle=False) as arrays:
            found[kind] = {name: arrays[name] for name in arrays.files}
    return found


def as_peers_hold(model: Model, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return parameters and outputs ``y`` [n, F] in the order of the peers."""
    turned: dict[str, np.ndarray] = {}
    image: Shape | None = None
    for layer, twin in twins(model):
        for p in layer.params:
            if (name := f"{layer.name}.{p.name}") in arrays:
                turned[name] = np.ascontiguousarray(twin.order(p.name, arrays[name]))
        image = twin.image if layer.name == model.output else image
    if "y" in arrays:
        y = arrays["y"]
        turned["y"] = y if image is None else y.reshape(-1, *image).transpose(0, 3, 1, 2).reshape(len(y), -1)
    return turned


@dataclass(frozen=True)
class Error:
    """Distance from float64, relative to the largest number: the largest of all numbers, and the root of the mean."""

    most: float
    rms: float

    @classmethod
    def of(cls, found: np.ndarray, wanted: np.ndarray, scale: float) -> Error:
        d = (np.asarray(found, np.float64) - wanted) / scale
        return cls(float(np.abs(d).max()), float(np.sqrt((d * d).mean())))


Row = tuple[str, Error, Error]  # what, ours, the closer of PyTorch's two


def rows_of(
    title: str, ours: dict[str, np.ndarray], torch: dict[str, dict[str, np.ndarray]], shows: tuple[str, ...]
) -> Iterator[Row]:
    """Yield one row for each array, or one for all together where their title is enough."""
    for name in shows:
        wanted = torch["float64"][name]
        scale = float(np.abs(wanted).max())
        theirs = (Error.of(torch[kind][name], wanted, scale) for kind in ("eager", "channels_last"))
        yield f"{title}: {name}", Error.of(ours[name], wanted, scale), min(theirs, key=lambda e: e.rms)


# ---- the two tables ------------------------------------------------------------------------------------
def optimizer_rows(python: str, match: str) -> Iterator[Row]:
    """Yield, for each optimizer, how far LeNet's weights are from float64 after some steps."""
    text = LENET.read_text(encoding="utf-8")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((POOL, BATCH, 28, 28, 1), np.float32)
    y = rng.integers(0, 10, (POOL, BATCH))
    for optimizer in (o for o in OPTIMIZERS if match in o):
        model = Compiler.from_text(text.replace("optimizer sgd lr=0.05 momentum=0.9", f"optimizer {optimizer}")).model
        net = Network(Compiler.of(model, Options(batch=BATCH)))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_net(model, folder)
            np.savez(folder / "data.npz", x=x, y=y)
            with np.load(folder / "ours.npz", allow_pickle=False) as arrays:
                net.load_parameters({n: arrays[n] for n in arrays.files})
            word, *settings = optimizer.split()
            numbers = {key: float(value) for key, _, value in (s.partition("=") for s in settings)}
            torch = ask_torch(python, folder, {"optimizer": word, "numbers": numbers, "steps": STEPS})
        for step in range(STEPS):
            net.train_step(x[step % POOL], y[step % POOL].astype(np.int32), lr=numbers["lr"])
        ours = as_peers_hold(model, net.parameters())
        flat = {kind: {"": _all(arrays)} for kind, arrays in torch.items()}
        for _, mine, theirs in rows_of("", {"": _all(ours)}, flat, ("",)):
            yield optimizer, mine, theirs


def _all(arrays: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([arrays[name].ravel() for name in sorted(arrays)])


def model_of(case: Sums) -> Model:
    """Return a checked model of the net of a case, with a loss that any output allows."""
    settings = "train {\n  loss mse\n  optimizer sgd momentum=0.9\n}\n"
    return Compiler.from_text(f"{case.spec}\n{settings}").model


def sum_rows(python: str, match: str) -> Iterator[Row]:
    """Yield, for each array of each net of ``SUMS``, how far it is from float64."""
    for case in (c for c in SUMS if match in c.title):
        model = model_of(case)
        features = model.output_shape[0]
        net = Network(Compiler.of(model, Options(batch=case.batch, target="f32", exact=case.exact)))
        rng = np.random.default_rng(1)
        shape = (case.batch, *model.input_shape)
        x = rng.random(shape, np.float32) if case.positive else rng.standard_normal(shape, np.float32)
        # The target outweighs y, so that the gradients of all contenders start from the same numbers.
        target = 1000 * rng.standard_normal((case.batch, features), np.float32)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_net(model, folder)
            np.savez(folder / "data.npz", x=x, y=as_peers_hold(model, {"y": target})["y"])
            with np.load(folder / "ours.npz", allow_pickle=False) as arrays:
                net.load_parameters({n: arrays[n] for n in arrays.files})
            torch = ask_torch(python, folder, {"shows": case.shows})
        ours = {"y": net.predict(x)} if "y" in case.shows else {}
        if case.shows != ("y",):
            net.train_step(x, target, lr=0.0)
            after = net.parameters() | {n.partition("@")[0]: v for n, v in net.optimizer_state().items() if "@" in n}
            ours |= {n: after[n] for n in case.shows if n != "y"}
        yield from rows_of(case.title, as_peers_hold(model, ours), torch, case.shows)


def show(rows: Iterator[Row]) -> None:
    """Print rows as they come: largest and rms error of both, and the ratios ours / PyTorch's."""
    print(f"{'':52} {'ours, max':>9} {'rms':>8}   {'PyTorch':>8} {'rms':>8}   {'ratio':>6} {'rms':>6}")
    for what, mine, theirs in rows:
        ratios = [a / b if b else float(a > 0) for a, b in ((mine.most, theirs.most), (mine.rms, theirs.rms))]
        print(
            f"{what:52} {mine.most:9.1e} {mine.rms:8.1e}   {theirs.most:8.1e} {theirs.rms:8.1e}   "
            f"{ratios[0]:6.2f} {ratios[1]:6.2f}",
            flush=True,
        )


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__.split("\n")[0])
    default = Path(os.environ.get("CNNSPEC_PEERS", Path(__file__).resolve().parent / ".peers"))
    parser.add_argument("--peers", type=Path, default=default, metavar="DIR", help="the peers' environment")
    parser.add_argument("--only", default="optimizers,sums", help="optimizers, sums or both")
    parser.add_argument("--match", default="", metavar="TEXT", help="rows whose name holds this text")
    chosen = parser.parse_args()
    python = peers_python(chosen.peers, tuple(p for p in PEERS if p.startswith(("torch", "numpy"))))
    if "optimizers" in chosen.only:
        print(f"LeNet, {STEPS} steps of {BATCH}: weights after them, relative to the largest")
        show(optimizer_rows(python, chosen.match))
    if "sums" in chosen.only:
        print("Sums: outputs and gradients, relative to the largest of each")
        show(sum_rows(python, chosen.match))
    return 0


if __name__ == "__main__":
    sys.exit(main())
