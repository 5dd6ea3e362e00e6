"""LeNet on Fashion-MNIST from the shell to its test accuracy: ``cnnspec train`` beside PyTorch on the same recipe.

    python -m benchmarks.fashion

The recipe is specs/fashion.cnn: 5 epochs of batches of 64, SGD 0.05 with momentum 0.9, a cosine step by step. PyTorch
starts from the same kind of initial weights, holds the data in memory as tensors in its own layout, and shuffles an
index; no data loader stands in its way. Both clocks run from the start of the process to its end.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .nets import NETS, ROOT

MODES = ("eager", "eager channels_last")


def main() -> int:
    """Run both, print and keep the comparison."""
    from .report import Table, put_between_markers
    from .setting import machine, peers_python

    here = ROOT / "benchmarks"
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fashion", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="all cores")
    parser.add_argument("--publish", action="store_true", help="write the table into README.md")
    peers = Path(os.environ.get("CNNSPEC_PEERS", here / ".peers"))
    parser.add_argument("--peers", type=Path, default=peers, metavar="DIR", help="the peers' environment")
    chosen = parser.parse_args()
    peer = peers_python(chosen.peers)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ("cnnspec", *MODES)}
    with tempfile.TemporaryDirectory() as folder:
        recipe = exchange(Path(folder), chosen.threads)
        for _ in range(chosen.rounds):
            for name, found in runs.items():
                found.append(ours(Path(folder), chosen.threads) if name == "cnnspec" else theirs(peer, recipe, name))
                print(name, found[-1], file=sys.stderr, flush=True)
    seconds = {name: median(r["seconds"] for r in found) for name, found in runs.items()}
    best = min(MODES, key=lambda mode: seconds[mode])
    rows = [
        (name if name == "cnnspec" else f"PyTorch {name}", f"{median(r['accuracy'] for r in found):.2%}",
         f"{seconds[name]:.1f}", f"{seconds[name] / seconds[best]:.2f}")
        for name, found in runs.items()
    ]  # fmt: skip
    says = f"LeNet, 5 epochs, {chosen.threads} threads, from the shell to the test accuracy. Target: 0.3 or less."
    head = ("", "test accuracy", "seconds", "share of the best PyTorch's time")
    table = Table("Fashion-MNIST", f"{says} cnnspec at {machine()['cnnspec']}.", head, rows).markdown()
    print(table)
    if chosen.publish:
        readme = here / "README.md"
        readme.write_text(put_between_markers(readme.read_text("utf-8"), table, "fashion"), encoding="utf-8")
    return 0


def exchange(folder: Path, threads: int) -> dict[str, Any]:
    """Write the net for the peer and return the recipe of the spec."""
    from cnnspec.compiler import Compiler
    from cnnspec.runtime.data.mnist import DEBIAN_FASHION

    from .exchange import write_net

    model = Compiler.from_path(ROOT / NETS["lenet"].spec).model
    write_net(model, folder / "net", model.train.seed)
    t = model.train
    return {
        "folder": str(folder / "net"), "data": os.environ.get("CNNSPEC_DATA", str(DEBIAN_FASHION)),
        "threads": threads, "epochs": t.epochs, "batch": t.batch, "seed": t.seed, "lr": t.optimizer.lr,
        "momentum": t.optimizer.momentum,
    }  # fmt: skip


def ours(folder: Path, threads: int) -> dict[str, float]:
    """Train with the command line, as a user would."""
    command = [sys.executable, "-m", "cnnspec", "train", NETS["lenet"].spec, "--json"]
    command += ["--out", str(folder / "runs"), "--threads", str(threads)]
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    if not done.stdout.strip():
        raise RuntimeError(done.stderr[-3000:])
    result = json.loads(done.stdout)
    return {"seconds": seconds, "training": result["seconds"], "accuracy": result["test"]["test.accuracy"]}


def theirs(python: str, recipe: dict[str, Any], mode: str) -> dict[str, float]:
    """Train with PyTorch in a process of its own."""
    command = [python, "-m", "benchmarks.fashion", "--as-peer", json.dumps({**recipe, "mode": mode})]
    env = {**os.environ, "OMP_NUM_THREADS": str(recipe["threads"])}
    begin = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-3000:])
    return {"seconds": seconds, **json.loads(done.stdout.splitlines()[-1])}


# ---- the peer's process --------------------------------------------------------------------------
def read_idx(path: Path) -> np.ndarray:
    """Return the array of a gzipped IDX file of bytes (LeCun et al. 1998, the format of MNIST)."""
    data = gzip.decompress(path.read_bytes())
    dimensions = data[3]
    shape = np.frombuffer(data, ">i4", dimensions, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def as_peer(recipe: dict[str, Any]) -> None:
    """Train the exchanged LeNet with PyTorch and print seconds and accuracy as JSON."""
    import torch
    from torch.nn import functional as F

    from .run_torch import Twin

    torch.set_num_threads(recipe["threads"])
    folder = Path(recipe["folder"])
    net = json.loads((folder / "net.json").read_text())
    layout = torch.channels_last if "channels_last" in recipe["mode"] else torch.contiguous_format
    module = Twin(net)
    with np.load(folder / "peers.npz", allow_pickle=False) as arrays:
        module.load(net, arrays)
    module = module.to(memory_format=layout)
    data = Path(recipe["data"])
    if (data / "fashion-mnist").is_dir():
        data /= "fashion-mnist"

    def split(part: str) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.from_numpy(read_idx(data / f"{part}-images-idx3-ubyte.gz").copy())[:, None].float() / 255
        y = torch.from_numpy(read_idx(data / f"{part}-labels-idx1-ubyte.gz").astype(np.int64))
        return x.to(memory_format=layout), y

    x, y = split("train")
    batch, epochs = recipe["batch"], recipe["epochs"]
    torch.manual_seed(recipe["seed"])
    optimizer = torch.optim.SGD(module.parameters(), lr=recipe["lr"], momentum=recipe["momentum"], fused=True)
    steps = epochs * math.ceil(len(x) / batch)
    taken = 0
    begin = time.perf_counter()
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).split(batch):
            for group in optimizer.param_groups:
                group["lr"] = recipe["lr"] * 0.5 * (1 + math.cos(math.pi * taken / steps))
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(module(x[chosen]), y[chosen]).backward()
            optimizer.step()
            taken += 1
    seconds = time.perf_counter() - begin
    x, y = split("t10k")
    module.eval()
    with torch.inference_mode():
        hits = sum(int((module(a).argmax(1) == b).sum()) for a, b in zip(x.split(500), y.split(500), strict=True))
    print(json.dumps({"training": seconds, "accuracy": hits / len(x)}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as-peer"]:
        as_peer(json.loads(sys.argv[2]))
    else:
        sys.exit(main())
