"""The published nets of the zoo against torchvision's, with the same random weights: how far the logits are apart.

    python -m benchmarks.zoo [--peers DIR] [--nets alexnet,vgg16]

Both in float32, ours with direct algorithms (``--exact``); batch norms have statistics that do something. PyTorch's
float64 is the reference, and distances are relative to its largest logit. DIR is the peers' environment.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .nets import ROOT

THEIRS = {  # our name -> torchvision's
    "alexnet": "alexnet",
    "vgg16": "vgg16",
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "densenet121": "densenet121",
    "mobilenetv2": "mobilenet_v2",
    "mnasnet": "mnasnet1_0",
    "regnety_400mf": "regnet_y_400mf",
}
IMAGES, LIMIT = 2, 1e-5


def main() -> int:
    """Print a row for each net; end with 1 where one is too far off."""
    from .loading import peer_with_readers

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("CNNSPEC_PEERS", Path(__file__).resolve().parent / ".peers"))
    parser.add_argument("--peers", type=Path, default=default)
    parser.add_argument("--nets", default=",".join(THEIRS))
    chosen = parser.parse_args()
    python = peer_with_readers(chosen.peers)
    print("| net | parameters | ours | PyTorch float32 | ours to PyTorch |\n| --- | --- | --- | --- | --- |")
    worst = 0.0
    for name in chosen.nets.split(","):
        params, ours, (wanted, theirs) = compare(name, python)
        scale = np.abs(wanted).max()
        apart = [float(np.abs(a - b).max() / scale) for a, b in ((ours, wanted), (theirs, wanted), (ours, theirs))]
        worst = max(worst, *apart)
        print(f"| {name} | {params:,} | " + " | ".join(f"{d:.1e}" for d in apart) + " |", flush=True)
    return int(not worst < LIMIT)


def compare(name: str, python: str) -> tuple[int, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return the parameters of a net, our logits, and PyTorch's in float64 and in float32."""
    from cnnspec.compiler import Compiler
    from cnnspec.options import Options
    from cnnspec.runtime.network import Network

    from .exchange import write_net

    model = Compiler.from_path(ROOT / "specs" / "zoo" / f"{name}.cnn").model
    x = np.random.default_rng(0).standard_normal((IMAGES, *model.input_shape), np.float32)
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room)
        write_net(model, folder)
        np.save(folder / "x.npy", x)
        with np.load(folder / "ours.npz", allow_pickle=False) as arrays:
            weights = {name: arrays[name] for name in arrays.files}
        command = [python, "-m", "benchmarks.zoo", "--as", THEIRS[name], room]
        subprocess.run(command, cwd=ROOT, check=True)
        with np.load(folder / "logits.npz", allow_pickle=False) as arrays:
            theirs = arrays["float64"], arrays["float32"]
    ours = Network(Compiler.of(model, Options(batch=IMAGES, exact=True)), parameters=weights).predict(x)
    return sum(p.size for p in model.params.values() if p.trainable), ours, theirs


# ---- the peer's process --------------------------------------------------------------------------
def answer(name: str, folder: Path) -> None:
    """Write the logits of torchvision's net with our weights, which come in the order of the layers."""
    import json

    import torch

    register = torch.library.register_fake
    # A torchvision for GPUs lacks its own operators beside a torch for CPUs. No net needs them.
    torch.library.register_fake = lambda *_, **__: lambda function: function  # type: ignore[assignment,method-assign]
    from torchvision.models import get_model

    torch.library.register_fake = register  # type: ignore[method-assign]
    net = get_model(name).eval()
    layers = [layer for layer in json.loads((folder / "net.json").read_text())["layers"] if layer["params"]]
    modules = [*leaves(net)]
    assert len(layers) == len(modules), (len(layers), len(modules))
    with np.load(folder / "peers.npz", allow_pickle=False) as arrays, torch.no_grad():
        for layer, module in zip(layers, modules, strict=True):
            for own, ours in layer["params"].items():
                tensor = getattr(module, own)
                assert tensor.numel() == arrays[ours].size, (ours, tuple(tensor.shape), arrays[ours].shape)
                tensor.copy_(torch.from_numpy(arrays[ours]).reshape(tensor.shape))
        x = torch.from_numpy(np.load(folder / "x.npy").transpose(0, 3, 1, 2).copy())
        found = {"float32": net(x).numpy(), "float64": net.double()(x.double()).numpy()}
    np.savez(folder / "logits.npz", **found)


def leaves(module: Any) -> Iterator[Any]:
    """Yield the modules that own parameters, in our order: a shortcut comes behind what it passes by."""
    children = dict(module.named_children())
    if "proj" in children:  # RegNet's comes first
        children["proj"] = children.pop("proj")
    if not children and any(True for _ in module.parameters()):
        yield module
    for child in children.values():
        if child is not None:
            yield from leaves(child)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as"]:
        answer(sys.argv[2], Path(sys.argv[3]))
    else:
        sys.exit(main())
