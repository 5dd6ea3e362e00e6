"""A compiled model as a folder of plain JSON and arrays, from which a peer builds the very same net without cnnspec.

The peers hold images as channels x height x width. Filters and dense weights are therefore rewritten here once, so
that each peer computes the same function with its own layout and its own kernels, and needs no transposition.

===============  =====================================================================================
``net.json``     layers in order: name, kind, inputs, attributes, names of parameters; input and output
``peers.npz``    parameters as the peers hold them: OIHW filters, [F_out, F_in] dense weights
``ours.npz``     the same parameters as cnnspec holds them
===============  =====================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cnnspec.by_type import ByType
from cnnspec.ir.fields import Shape, attrs_of
from cnnspec.model.model import INPUT, Layer, Model
from cnnspec.ops.activation import Activation, Softmax
from cnnspec.ops.conv import Conv, Depthwise
from cnnspec.ops.dropout import Dropout
from cnnspec.ops.linear import Dense
from cnnspec.ops.merge import Add, Concat, Multiply
from cnnspec.ops.norm import BatchNorm
from cnnspec.ops.pool import Pool
from cnnspec.ops.reshape import Flatten, Identity
from cnnspec.runtime.initialize import initial

from .nets import TIMED_RATE


def write_net(model: Model, folder: Path, seed: int = 1) -> None:
    """Write a model with its initial weights into a folder."""
    ours = initial_weights(model, seed)
    peers: dict[str, np.ndarray] = {}
    layers = []
    for layer, twin in twins(model):
        for p in layer.params:
            name = f"{layer.name}.{p.name}"
            peers[name] = np.ascontiguousarray(twin.order(p.name, ours[name]))
        layers.append(describe(layer, twin))
    folder.mkdir(parents=True, exist_ok=True)
    save_arrays(folder / "ours.npz", ours)
    save_arrays(folder / "peers.npz", peers)
    net = {
        "input": list(model.input_shape),
        "classes": model.output_shape[0],
        "output": model.output,
        "layers": layers,
        "checked_rate": model.train.optimizer.lr,
        "timed_rate": TIMED_RATE,
        "momentum": getattr(model.train.optimizer, "momentum", 0.0),
    }
    (folder / "net.json").write_text(json.dumps(net, indent=1))


def initial_weights(model: Model, seed: int) -> dict[str, np.ndarray]:
    """Return cnnspec's initial weights, with the parameters of batch norms moved off 0 and 1.

    A fresh batch norm does nothing in inference; one that does something makes the comparison of outputs sharp.
    """
    rng = np.random.default_rng(seed)
    weights = {}
    for layer in model.layers:
        for p in layer.params:
            value = initial(p, f"{layer.name}.{p.name}", seed)
            if isinstance(layer.op, BatchNorm):
                middle = 1.0 if p.name in ("weight", "running_var") else 0.0
                value = (middle + rng.uniform(-0.1, 0.1, p.shape)).astype(np.float32)
            weights[f"{layer.name}.{p.name}"] = value
    return weights


@dataclass(frozen=True)
class Twin:
    """A layer as the peers know it.

    Attributes
    ----------
    attributes : what a spec may write of it; paddings and windows as numbers.
    order : function of (name of a parameter, array) that returns the array in the peers' layout.
    image : the image [H, W, C] that its flat output holds in another order than the peers'; None where there is none.
    """

    attributes: dict[str, Any]
    order: Callable[[str, np.ndarray], np.ndarray] = lambda name, value: value
    image: Shape | None = None


# A function of (layer, image) for each kind of layer; ``image`` is the image that its flat input still is, or None.
EXPORTS: ByType[Callable[[Layer, Shape | None], Twin]] = ByType("twin among the peers' layers")
exports = EXPORTS.adds


def fields(layer: Layer) -> dict[str, Any]:
    """Return the fields of a layer that a spec may write."""
    return {name: getattr(layer.op, name) for name, a in attrs_of(type(layer.op)).items() if a.kind != "hidden"}


@exports(Conv, Depthwise)
def convolution(layer: Layer, image: Shape | None) -> Twin:
    """Filters: [kH, kW, C_in/groups, C_out] or [kH, kW, C] -> [C_out, C_in/groups, kH, kW]."""
    op: Any = layer.op

    def order(name: str, value: np.ndarray) -> np.ndarray:
        if name != "weight":
            return value
        return value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.transpose(2, 0, 1)[:, None]

    return Twin(fields(layer) | {"padding": op.pads}, order)


@exports(Dense)
def dense(layer: Layer, image: Shape | None) -> Twin:
    """Weights: [F_in, F_out] -> [F_out, F_in], the inputs in the peers' order of the image."""

    def order(name: str, value: np.ndarray) -> np.ndarray:
        if name != "weight":
            return value
        if image is not None:
            value = value[np.arange(value.shape[0]).reshape(image).transpose(2, 0, 1).ravel()]
        return value.T

    return Twin(fields(layer), order)


@exports(Pool)
def pool(layer: Layer, image: Shape | None) -> Twin:
    op: Any = layer.op
    kernel, stride, padding = op.geometry(layer.in_shapes[0])
    return Twin(fields(layer) | {"kernel_size": kernel, "stride": stride, "padding": padding})


@exports(Flatten)
def flatten(layer: Layer, image: Shape | None) -> Twin:
    x = layer.in_shapes[0]
    return Twin(fields(layer), image=tuple(x) if len(x) == 3 and x[0] * x[1] > 1 and x[2] > 1 else image)


@exports(Activation, Dropout, Identity)
def elementwise(layer: Layer, image: Shape | None) -> Twin:
    return Twin(fields(layer), image=image)


@exports(BatchNorm, Softmax, Add, Multiply, Concat)
def of_channels(layer: Layer, image: Shape | None) -> Twin:
    if image is not None:
        raise NotImplementedError(f"{layer.op.name} between flatten and dense has no twin in the peers' layout")
    return Twin(fields(layer))


def twins(model: Model) -> Iterator[tuple[Layer, Twin]]:
    """Yield the layers of a model in order, each with its twin."""
    image_of: dict[str, Shape | None] = {INPUT: None}
    for layer in model.layers:
        before = next((image_of[i] for i in layer.inputs if image_of[i]), None)
        twin = EXPORTS.of(layer.op)(layer, before)
        image_of[layer.name] = twin.image
        yield layer, twin


def describe(layer: Layer, twin: Twin) -> dict[str, Any]:
    """Return a layer as JSON."""
    return {
        "name": layer.name,
        "kind": layer.op.name,
        "inputs": list(layer.inputs),
        "in_shape": list(layer.in_shapes[0]),
        "out_shape": list(layer.out_shape),
        "attributes": twin.attributes,
        "params": {p.name: f"{layer.name}.{p.name}" for p in layer.params},
    }


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays of any names into an .npz file."""
    np.savez(path, **arrays)  # type: ignore[arg-type]
