"""PyTorch's side of parity.py: one net in float64 and in float32, in both layouts of images.

    python -m benchmarks.run_parity FOLDER

FOLDER holds the exchanged net, ``data.npz`` with x and y, and ``job.json``: an optimizer and steps, after which all
parameters are written, or names of gradients, statistics and outputs of a first step. Answers are FOLDER/KIND.npz.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from .run_torch import Twin

KINDS = {
    "float64": (torch.float64, torch.contiguous_format),
    "eager": (torch.float32, torch.contiguous_format),
    "channels_last": (torch.float32, torch.channels_last),
}


def optimizer_of(word: str, numbers: dict[str, float], parameters: Any) -> torch.optim.Optimizer:
    """Return PyTorch's optimizer with settings as a spec writes them."""
    if word == "sgd":
        return torch.optim.SGD(parameters, lr=numbers["lr"], momentum=numbers["momentum"])
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[word]
    return kind(parameters, lr=numbers["lr"], betas=(numbers.get("beta1", 0.9), numbers.get("beta2", 0.999)))


def main() -> None:
    """Answer one job."""
    folder = Path(sys.argv[1])
    job, net = json.loads((folder / "job.json").read_text()), json.loads((folder / "net.json").read_text())
    with np.load(folder / "peers.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    with np.load(folder / "data.npz", allow_pickle=False) as file:
        x, y = file["x"], torch.from_numpy(file["y"])
    for kind, (dtype, layout) in KINDS.items():
        module = Twin(net).to(dtype=dtype, memory_format=layout)
        module.load(net, arrays)
        tensors = {
            f"{name}": getattr(op, own)
            for op, layer in zip(module.ops, net["layers"], strict=True)
            for own, name in layer["params"].items()
        }

        def image(x: np.ndarray, dtype: torch.dtype = dtype, layout: torch.memory_format = layout) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2))).to(dtype=dtype, memory_format=layout)

        found: dict[str, torch.Tensor] = {}
        if "optimizer" in job:
            module.train()
            optimizer = optimizer_of(job["optimizer"], job["numbers"], module.parameters())
            for step in range(job["steps"]):
                optimizer.zero_grad(set_to_none=True)
                F.cross_entropy(module(image(x[step % len(x)])), y[step % len(x)]).backward()
                optimizer.step()
            found = tensors
        else:
            if "y" in job["shows"]:
                module.eval()
                with torch.no_grad():
                    found["y"] = module(image(x))
            if job["shows"] != ["y"]:
                module.train()
                F.mse_loss(module(image(x)), y.to(dtype)).backward()
            for name in job["shows"]:
                if name != "y":
                    found[name] = tensors[name] if tensors[name].grad is None else tensors[name].grad
        np.savez(folder / f"{kind}.npz", **{name: t.detach().numpy() for name, t in found.items()})


if __name__ == "__main__":
    main()
