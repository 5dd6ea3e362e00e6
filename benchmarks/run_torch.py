"""PyTorch as a contender: a module built from the exchanged net, in the mode that is asked for.

Modes: ``eager``, ``eager channels_last``, ``compile`` (torch.compile of forward and loss, channels_last), and
``float64``, the reference of checks. What a good PyTorch user does is done: in-place activations and additions where
gradients do not need the old value, values freed after their last use, the fastest of PyTorch's three optimizer
loops, inference_mode, frozen weights in compiled inference.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .batches import batches

# Gradients of these ops do not need their own output, so what follows may overwrite it.
OVERWRITABLE = ("conv", "depthwise", "dense", "bn")
OPTIMIZERS: dict[str, dict[str, bool]] = {
    "sgd fused": {"fused": True},
    "sgd foreach": {"foreach": True},
    "sgd for loop": {"foreach": False},
}


class Twin(nn.Module):
    """The exchanged net as a PyTorch module, layers in the order of the spec."""

    def __init__(self, net: dict[str, Any]) -> None:
        super().__init__()
        layers = net["layers"]
        readers: dict[str, list[int]] = {"input": []}
        for i, layer in enumerate(layers):
            readers[layer["name"]] = []
            for name in layer["inputs"]:
                readers[name].append(i)
        kind_of = {layer["name"]: layer["kind"] for layer in layers}
        self.output = net["output"]
        self.ops = nn.ModuleList()
        self.wiring: list[tuple[str, list[str], list[str]]] = []
        for i, layer in enumerate(layers):
            first = layer["inputs"][0]
            in_place = len(readers[first]) == 1 and kind_of.get(first) in OVERWRITABLE
            self.ops.append(module_of(layer, in_place))
            done = [name for name in dict.fromkeys(layer["inputs"]) if readers[name][-1] == i]
            self.wiring.append((layer["name"], layer["inputs"], done))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = {"input": x}
        for op, (name, inputs, done) in zip(self.ops, self.wiring, strict=True):
            y = op(*[values[i] for i in inputs])
            for i in done:
                del values[i]
            values[name] = y
        return values[self.output]

    def load(self, net: dict[str, Any], arrays: Any) -> None:
        """Replace all parameters and running statistics."""
        with torch.no_grad():
            for op, layer in zip(self.ops, net["layers"], strict=True):
                for own, name in layer["params"].items():
                    getattr(op, own).copy_(torch.from_numpy(arrays[name]))


class Add(nn.Module):
    """The sum of branches."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.in_place = in_place

    def forward(self, *xs: torch.Tensor) -> torch.Tensor:
        y = xs[0].add_(xs[1]) if self.in_place else xs[0] + xs[1]
        for x in xs[2:]:
            y += x
        return y


class Multiply(nn.Module):
    """The product of two branches."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a * b


class Concat(nn.Module):
    """The branches' channels one after another."""

    def forward(self, *xs: torch.Tensor) -> torch.Tensor:
        return torch.cat(xs, 1)


IN_PLACE = {
    "relu": nn.ReLU, "relu6": nn.ReLU6, "silu": nn.SiLU, "hardsigmoid": nn.Hardsigmoid, "hardswish": nn.Hardswish,
}  # fmt: skip


def module_of(layer: dict[str, Any], in_place: bool) -> nn.Module:
    """Return the PyTorch module of a layer; ``in_place`` where it may overwrite its first input."""
    kind, a, channels = layer["kind"], layer["attributes"], layer["in_shape"][-1]
    if kind in ("conv", "depthwise"):
        out = a.get("out_channels", channels)
        groups = a.get("groups", channels)
        geometry = {key: tuple(a[key]) for key in ("kernel_size", "stride", "padding", "dilation")}
        return nn.Conv2d(channels, out, groups=groups, bias=a["bias"], **geometry)
    if kind == "dense":
        return nn.Linear(channels, a["units"], bias=a["bias"])
    if kind == "bn":
        norm = nn.BatchNorm2d if len(layer["in_shape"]) == 3 else nn.BatchNorm1d
        return norm(channels, a["eps"], a["momentum"])
    if kind in ("maxpool", "avgpool"):
        window = tuple(a["kernel_size"]), tuple(a["stride"]), tuple(a["padding"])
        if kind == "maxpool":
            return nn.MaxPool2d(*window)
        if list(window[0]) == layer["in_shape"][:2]:
            return nn.AdaptiveAvgPool2d(1)
        return nn.AvgPool2d(*window, count_include_pad=False)
    if kind == "leaky_relu":
        return nn.LeakyReLU(a["slope"], inplace=in_place)
    if kind == "dropout":
        return nn.Dropout(a["rate"])
    if kind == "elu":
        return nn.ELU(a["alpha"], inplace=in_place)
    if kind == "gelu":
        return nn.GELU(a["approximate"])
    if kind in IN_PLACE:
        return IN_PLACE[kind](inplace=in_place)
    if kind == "add":
        return Add(in_place)
    plain = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "flatten": nn.Flatten, "identity": nn.Identity}
    plain |= {"multiply": Multiply, "concat": Concat}
    return nn.Softmax(1) if kind == "softmax" else plain[kind]()


class Torch:
    """The exchanged net trained and run by PyTorch."""

    def __init__(self, job: dict[str, Any], mode: str) -> None:
        torch.set_num_threads(job["threads"])
        self.job, self.mode = job, mode
        folder = Path(job["folder"])
        self.net = json.loads((folder / "net.json").read_text())
        with np.load(folder / "peers.npz", allow_pickle=False) as arrays:
            self.arrays = {name: arrays[name] for name in arrays.files}
        dtype = torch.float64 if mode == "float64" else torch.float32
        contiguous = mode in ("eager", "float64")
        layout = torch.contiguous_format if contiguous else torch.channels_last
        self.module = Twin(self.net).to(dtype=dtype, memory_format=layout)
        self.reset()
        self.pool = []
        for x, y in batches(self.net["input"], self.net["classes"], job["batch"]):
            image = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
            self.pool.append((image.to(dtype=dtype, memory_format=layout), torch.from_numpy(y)))
        self.about = f"PyTorch {torch.__version__}"
        self.loss_of: Callable[..., torch.Tensor] = lambda x, y: F.cross_entropy(self.module(x), y)
        self.outputs_of: Callable[..., torch.Tensor] = self.module
        if mode == "compile" and job["measure"] == "training":
            self.loss_of = torch.compile(self.loss_of)
        elif mode == "compile":
            from torch._inductor import config

            config.freezing = True
            self.outputs_of = torch.compile(self.module)

    def reset(self) -> None:
        self.module.load(self.net, self.arrays)

    def optimizer(self, rate: float, variant: str) -> torch.optim.Optimizer:
        momentum = self.net["momentum"]
        return torch.optim.SGD(self.module.parameters(), lr=rate, momentum=momentum, **OPTIMIZERS[variant])

    def logits(self) -> np.ndarray:
        self.module.eval()
        return self.infer(self.pool[0][0]).numpy()

    def losses(self, steps: int) -> list[float]:
        self.module.train()
        optimizer = self.optimizer(self.net["checked_rate"], "sgd for loop")
        taken = [self.train(optimizer, *self.pool[i % len(self.pool)]) for i in range(steps)]
        self.reset()
        return taken

    def train(self, optimizer: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor) -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = self.loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss.item()

    def infer(self, x: torch.Tensor) -> torch.Tensor:
        # a compiled and frozen module asks for no_grad
        with torch.no_grad() if self.mode == "compile" else torch.inference_mode():
            return self.outputs_of(x)

    def variants(self) -> dict[str, Callable[[], object]]:
        turn = cycle(self.pool)
        if self.job["measure"] != "training":
            self.module.eval()
            return {"": lambda: self.infer(next(turn)[0])}
        self.module.train()

        def steps(variant: str) -> Callable[[], object]:
            optimizer = self.optimizer(self.net["timed_rate"], variant)
            return lambda: self.train(optimizer, *next(turn))

        return {variant: steps(variant) for variant in OPTIMIZERS}
