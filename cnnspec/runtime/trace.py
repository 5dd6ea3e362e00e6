"""Activations of layers and gradients of the loss on one batch, as arrays by name."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from ..errors import DataError, did_you_mean
from ..model.model import INPUT, Model
from ..text import some
from .pack import unpack
from .runner import Runner


@dataclass(frozen=True, repr=False)
class Trace:
    """The arrays of one batch of n samples.

    Attributes
    ----------
    activations : by layer, its output float32[n, H, W, C] or float32[n, F]; under ``input`` the samples, normalised.
    gradients : of the mean loss over the batch, by name: of a parameter, such as ``conv1.weight`` [kH, kW, C_in, C_out]
        (so that ``[..., k]`` is filter k); of a layer, in its output; of ``input``, in each pixel. Empty without
        targets.
    loss : mean loss over the batch; None without targets.
    """

    activations: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    loss: float | None

    def __repr__(self) -> str:
        loss = "" if self.loss is None else f", loss {self.loss:.4f}"
        return f"<Trace: {some(len(self.activations), 'activation')}, {some(len(self.gradients), 'gradient')}{loss}>"


def check_batch(samples: int, batch: int) -> None:
    """Raise DataError where there are more samples than a batch holds."""
    if samples > batch:
        raise DataError(
            "a trace is of one batch, and these are more images",
            field="x",
            expected=f"at most {batch}, the batch of the spec",
            found=f"{samples} images",
            hint=f"x[:{batch}], or load and parse with batch={samples}",
        )


def names_to_trace(model: Model, names: Collection[str] | str | None, gradients: bool) -> tuple[str, ...]:
    """Return the layers, ``input`` and trainable parameters to trace: all of them when None, one of a text.

    Raises
    ------
    DataError
        When the net has no layer and no trainable parameter of a name, or a parameter is named without ``gradients``.
    """
    layers = [INPUT, *(layer.name for layer in model.layers)]
    params = [name for name, p in model.params.items() if p.trainable]
    if names is None:
        return (*layers, *(params if gradients else ()))
    names = [names] if isinstance(names, str) else [str(name) for name in names]
    for name in names:
        if name in params and not gradients:
            raise DataError(
                "a parameter is traced by its gradient, and gradients need targets",
                field=name,
                expected="the labels of the batch",
            )
        if name not in layers and name not in params:
            near = did_you_mean(name, [*layers, *params])
            raise DataError(
                "the net has no layer and no trainable parameter of this name",
                field=name,
                expected="names as in summary() and weights()",
                hint=f"did you mean {near}?" if near else "",
            )
    return tuple(dict.fromkeys(names))


def activation(runner: Runner, model: Model, name: str, n: int) -> np.ndarray:
    """Return the output of a layer [n, H, W, C] or [n, F] after a run. It may share memory with the runner."""
    return _samples(runner, runner.plan.outputs[f"layer:{name}"].name, model, name, n)


def gradient(runner: Runner, model: Model, name: str, n: int) -> np.ndarray:
    """Return the gradient of the mean loss in a parameter, or in the output of a layer, after a run.

    A parameter's gradient is the sum over the shards' copies in their order, as the optimizer adds them.
    """
    p = model.params.get(name)
    if p is None:
        return _samples(runner, runner.plan.gradients[f"layer:{name}"][0].name, model, name, n)
    buffer, copies = runner.plan.gradients[name]
    total, *others = runner.view(buffer)[:copies]
    for other in others:
        total = total + other
    return unpack(total, p.shape, p.groups)


def _samples(runner: Runner, value: str, model: Model, name: str, n: int) -> np.ndarray:
    shape = model.input_shape if name == INPUT else model.layer(name).out_shape
    return runner.image(value)[:n].reshape(n, *shape)
