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

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from cnnspec.ir.fields import Shape
from cnnspec.model.model import INPUT, Layer, Model
from cnnspec.ops.activation import Activation
from cnnspec.ops.dropout import Dropout
from cnnspec.ops.reshape import Identity
from cnnspec.runtime.initialize import initial

from .nets import TIMED_RATE


def write_net(model: Model, folder: Path, seed: int = 1) -> None:
    """Write a model with its initial weights into a folder."""
    ours = initial_weights(model, seed)
    peers: dict[str, np.ndarray] = {}
    layers = []
    image_of: dict[str, Shape | None] = {INPUT: None}  # of flat values that still are an image read pixel by pixel
    for layer in model.layers:
        before = next((image_of[i] for i in layer.inputs if image_of[i]), None)
        for p in layer.params:
            name = f"{layer.name}.{p.name}"
            peers[name] = for_peers(layer, p.name, ours[name], before)
        image_of[layer.name] = image_after(layer, before)
        layers.append(describe(layer))
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
            if layer.op.name == "bn":
                middle = 1.0 if p.name in ("weight", "running_var") else 0.0
                value = (middle + rng.uniform(-0.1, 0.1, p.shape)).astype(np.float32)
            weights[f"{layer.name}.{p.name}"] = value
    return weights


def describe(layer: Layer) -> dict[str, Any]:
    """Return a layer as JSON; paddings and windows as numbers, fields that are hidden in specs left out."""
    op: Any = layer.op
    attributes = {f.name: getattr(op, f.name) for f in dataclasses.fields(op) if f.metadata["attr"].kind != "hidden"}
    if op.name in ("conv", "depthwise"):
        attributes["padding"] = op.pads
    elif op.name in ("maxpool", "avgpool"):
        attributes["kernel_size"], attributes["stride"], attributes["padding"] = op.geometry(layer.in_shapes[0])
    return {
        "name": layer.name,
        "kind": op.name,
        "inputs": list(layer.inputs),
        "in_shape": list(layer.in_shapes[0]),
        "out_shape": list(layer.out_shape),
        "attributes": attributes,
        "params": {p.name: f"{layer.name}.{p.name}" for p in layer.params},
    }


def for_peers(layer: Layer, name: str, value: np.ndarray, image: Shape | None) -> np.ndarray:
    """Return a parameter in the peers' layout; ``image`` is what the layer's flat input was, if it was one."""
    if name == "weight" and layer.op.name == "conv":
        value = value.transpose(3, 2, 0, 1)
    elif name == "weight" and layer.op.name == "depthwise":
        value = value.transpose(2, 0, 1)[:, None]
    elif name == "weight" and layer.op.name == "dense":
        if image is not None:
            value = value[np.arange(value.shape[0]).reshape(image).transpose(2, 0, 1).ravel()]
        value = value.T
    return np.ascontiguousarray(value)


def image_after(layer: Layer, before: Shape | None) -> Shape | None:
    """Return which image a layer's flat output holds in another order than the peers', or None."""
    kind, x = layer.op.name, layer.in_shapes[0]
    if kind == "flatten":
        return tuple(x) if len(x) == 3 and x[0] * x[1] > 1 and x[2] > 1 else before
    if kind == "dense" or before is None:
        return None
    if isinstance(layer.op, Activation | Dropout | Identity):
        return before
    raise NotImplementedError(f"{kind} between flatten and dense has no twin in the peers' layout")


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays of any names into an .npz file."""
    np.savez(path, **arrays)  # type: ignore[arg-type]
