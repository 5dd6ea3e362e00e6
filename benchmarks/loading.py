"""How fast folders of pictures are read, beside PyTorch's DataLoader: ``python -m benchmarks.loading``.

    python -m benchmarks.loading                # images a second of three folders; the share that a training waits
    python -m benchmarks.loading --draft        # also JPEGs that are decoded at a part of their size, on both sides

Pictures are made on the spot. Each side is a process of its own, in turn, and reads every picture as batches of 64 that
are normalised: cnnspec as a training does from a folder that does not fit in memory, PyTorch with torchvision's
ImageFolder and two workers. The clock runs from the first batch asked for to the last one got; PyTorch's workers are
started within it, once an epoch, as is its default. Both read the folder once before. ``cpu`` is the processor time of
a side a picture, which depends less on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from .nets import ROOT

READERS = ("torchvision==0.28.0", "pillow")  # of the peers, beside torch 2.13
BATCH, WORKERS = 64, 2


@dataclass(frozen=True)
class Kind:
    """A folder of pictures: how many, their size, their ending, and the input that they become."""

    title: str
    count: int
    width: int
    height: int
    suffix: str
    side: int


KINDS = (
    Kind("PNG 32x32", 12_000, 32, 32, ".png", 32),
    Kind("JPEG 224x224", 2_400, 224, 224, ".jpg", 224),
    Kind("JPEG 500x375 to 224x224", 1_200, 500, 375, ".jpg", 224),
)
DRAFTED = Kind("JPEG 1000x750 to 224x224, drafted", 400, 1000, 750, ".jpg", 224)


def main() -> int:
    """Compare the loaders and print a table."""
    from .report import Table
    from .setting import machine

    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--draft", action="store_true", help="also drafted JPEGs")
    parser.add_argument("--steps", type=int, default=150, help="of the training whose share of waiting is told")
    peers = Path(os.environ.get("CNNSPEC_PEERS", ROOT / "benchmarks" / ".peers"))
    parser.add_argument("--peers", type=Path, default=peers, metavar="DIR", help="the peers' environment")
    chosen = parser.parse_args()
    peer = peer_with_readers(chosen.peers)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in (*KINDS, *((DRAFTED,) if chosen.draft else ())):
            root = Path(folder) / kind.title.replace(" ", "-")
            make_pictures(root, kind)
            task = {"root": str(root), "side": kind.side, "draft": kind is DRAFTED}
            found = [(run(sys.executable, "ours", task), run(peer, "theirs", task)) for _ in range(chosen.rounds)]
            ratios = [ours["rate"] / theirs["rate"] for ours, theirs in found]
            cpus = [theirs["cpu"] / ours["cpu"] for ours, theirs in found]
            rates = [median(side["rate"] for side in sides) for sides in zip(*found, strict=True)]
            row = kind.title, f"{rates[0]:,.0f}", f"{rates[1]:,.0f}", f"{median(ratios):.2f}"
            rows.append((*row, f"{min(ratios):.2f} to {max(ratios):.2f}", f"{median(cpus):.2f}"))
            print(*rows[-1], file=sys.stderr, flush=True)
        task = {"root": str(Path(folder) / KINDS[0].title.replace(" ", "-")), "side": 32, "steps": chosen.steps}
        waits = [run(sys.executable, "waiting", task)["waiting"] for _ in range(chosen.rounds)]
    head = ("pictures", "cnnspec, images/s", "PyTorch, images/s", "ratio", "rounds", "ratio of cpu")
    says = f"Streamed folders, {chosen.rounds} rounds in turn; PyTorch with {WORKERS} workers. Target: 1.0 or more."
    print(Table("Loading", f"{says} cnnspec at {machine()['cnnspec']}.", head, rows).markdown())
    spread = f"{min(waits):.1%} to {max(waits):.1%}"
    print(f"\nA training of ResNet-20 on {KINDS[0].title} waits {median(waits):.1%} of its time ({spread}).")
    return 0


def peer_with_readers(folder: Path) -> str:
    """Return the Python of the peers' environment, with what reads pictures; torch itself is left as it is."""
    from .setting import peers_python

    python = peers_python(folder, ("torch==2.13.0", "numpy"))
    found = "from importlib.util import find_spec as f; import sys; sys.exit(not (f('torchvision') and f('PIL')))"
    if subprocess.run([python, "-c", found]).returncode != 0:
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", *READERS], check=True)
    return python


def make_pictures(root: Path, kind: Kind) -> None:
    """Write pictures of soft patches with a little noise, which compress about as photographs do."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(kind.count):
        small = rng.integers(0, 256, (kind.height // 8, kind.width // 8, 3), np.uint8)
        patches = Image.fromarray(small).resize((kind.width, kind.height), Image.Resampling.BICUBIC)
        pixels = np.asarray(patches).astype(np.int16) + rng.integers(-8, 9, (kind.height, kind.width, 3), np.int16)
        folder = root / f"class{i % 10}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{i:05}{kind.suffix}"
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=90)


def run(python: str, side: str, task: dict[str, Any]) -> dict[str, float]:
    """Run one side in a process of its own."""
    command = [python, "-m", "benchmarks.loading", "--as", side, json.dumps(task)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-3000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def timed(epoch: Callable[[], Iterator[int]]) -> dict[str, float]:
    """Return images a second and processor seconds an image of the second of two epochs."""
    for _ in epoch():
        pass
    begin, spent = time.perf_counter(), cpu_seconds()
    images = sum(epoch())
    return {"rate": images / (time.perf_counter() - begin), "cpu": (cpu_seconds() - spent) / images}


def cpu_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    return sum(os.times()[:4])


# ---- cnnspec's process ---------------------------------------------------------------------------
def streamed(task: dict[str, Any]) -> Any:
    """Open a folder as one that does not fit in memory, all pictures to train on."""
    from cnnspec.model.settings import DataSettings, Folders, Normalize
    from cnnspec.runtime.data import open_data, split

    split.IN_MEMORY_NBYTES = 0
    settings = DataSettings(Folders(task["root"], draft=task.get("draft", False)), normalize=Normalize((0.5,), (0.25,)))
    return open_data(settings, (task["side"], task["side"], 3), 10)


def ours(task: dict[str, Any]) -> dict[str, float]:
    """Read a folder's training part for an epoch, in random order."""
    from cnnspec.kernels.load import load_kernels
    from cnnspec.runtime.data.loader import batches, epoch_order
    from cnnspec.runtime.runner import TAKERS

    load_kernels(TAKERS)
    part = streamed(task).train
    return timed(lambda: (len(batch.y) for batch in batches(part, epoch_order(len(part), 1, 1), BATCH)))


def waiting(task: dict[str, Any]) -> dict[str, float]:
    """Train ResNet-20 for some steps and return the share of the time in which it waited for batches."""
    from dataclasses import replace

    from cnnspec.runtime.events import Reporter
    from cnnspec.runtime.train import train

    from .nets import load_model

    class Watch(Reporter):
        share = 0.0

        def on_step(self, *values: float) -> None:
            self.share = values[-1]

    watch, model = Watch(), load_model("resnet20")
    model = replace(model, data=None, expects=(), train=replace(model.train, batch=BATCH))
    train(model, data=streamed(task), out=None, reporter=watch, stop_after_steps=task["steps"])
    return {"waiting": watch.share}


# ---- the peer's process --------------------------------------------------------------------------
def theirs(task: dict[str, Any]) -> dict[str, float]:
    """Read the same folder with PyTorch's DataLoader and torchvision."""
    import torch

    register = torch.library.register_fake
    # A torchvision for GPUs lacks its own operators beside a torch for CPUs. No reading of pictures needs them.
    torch.library.register_fake = lambda *_, **__: lambda function: function  # type: ignore[assignment,method-assign]
    from torchvision import datasets, transforms

    torch.library.register_fake = register  # type: ignore[method-assign]
    from PIL import Image

    side = task["side"]

    def drafted(path: str) -> Image.Image:
        with Image.open(path) as image:
            image.draft("RGB", (side, side))
            return image.convert("RGB")

    steps = [transforms.Resize(side), transforms.CenterCrop(side)] if side != 32 else []
    steps += [transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)]
    loader = {"loader": drafted} if task["draft"] else {}
    folder = datasets.ImageFolder(task["root"], transforms.Compose(steps), **loader)
    part = torch.utils.data.Subset(folder, range(len(folder) * 4 // 5))
    batches = torch.utils.data.DataLoader(part, batch_size=BATCH, shuffle=True, num_workers=WORKERS)
    return timed(lambda: (len(y) for _, y in batches))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as"]:
        print(json.dumps({"ours": ours, "theirs": theirs, "waiting": waiting}[sys.argv[2]](json.loads(sys.argv[3]))))
    else:
        sys.exit(main())
