"""Training that lost its way: the loss, a weight or the optimizer is not finite, told with the layer where it began."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import CnnSpecError, Diagnostic
from ..model.model import Model


def not_finite(*groups: Mapping[str, np.ndarray]) -> str | None:
    """Return the name of the first array that holds a NaN or an infinite value, or None."""
    pairs = (pair for arrays in groups for pair in arrays.items())
    return next((name for name, value in pairs if not np.isfinite(value).all()), None)


class TrainingDiverged(CnnSpecError):
    """The loss is not finite, or a weight, a running statistic or a state of the optimizer is not.

    Attributes
    ----------
    epoch, step : where it happened, both counted from 1.
    loss : the value; of the steps of the epoch so far where it is an array that is not finite.
    layer : the first layer whose output is not finite, or that owns the array; None where all outputs are finite.
    array : the name of the array that is not finite (``conv1.weight``, ``conv1.weight@velocity``), else None.
    lr : the learning rate of the step.
    checkpoint : the last good checkpoint, all of whose values are finite, or None where nothing is written.
    diagnostic : the same with its place in the spec, or None where the spec holds no place to point at.
    """

    def __init__(
        self,
        model: Model,
        *,
        loss: float,
        epoch: int,
        step: int,
        steps: int,
        lr: float,
        layer: str | None,
        checkpoint: Path | None,
        during: str = "step",
        array: str | None = None,
        inputs: str = "",
    ) -> None:
        self.loss, self.epoch, self.step, self.lr = loss, epoch, step, lr
        self.layer, self.checkpoint, self.array = layer, checkpoint, array
        if array is not None:
            self.layer = layer = array.rpartition(".")[0]
        at = f"epoch {epoch}, step {step} of {steps}"
        where = {"step": at, "validation": f"validation after epoch {epoch}", "trial": f"inference after {at}"}[during]
        value = "NaN" if loss != loss else "infinite"
        message = f"the loss became {value} in {where}"
        label = "{} is the first layer whose output is not finite"
        if array is not None:
            parameter, _, state = array.partition("@")
            kind = f"the optimizer's {state} of {parameter}" if state else parameter
            message = f"{kind} is not finite any more after {where}"
            label = f"{{}} holds {parameter}"
        notes = [f"learning rate of this step: {lr:g}"]
        if during != "step":
            notes.append("the losses of the training steps are finite")
        elif layer is None:
            notes.append("every layer's output is finite; the loss itself overflows")
        if checkpoint is not None:
            notes.append(f"the last good checkpoint is kept: {checkpoint}")
        start = float(model.train.optimizer.lr)
        hint = f"a smaller learning rate, such as lr={min(start / 10, 0.1):g} instead of lr={start:g}"
        if model.train.warmup_epochs == 0:
            hint += ", or a warm-up: schedule warmup 1 -> cosine"
        if epoch == step == 1 and during == "step" and array is None:
            notes.append("this is the first step: no learning rate has changed a weight yet")
            hint = "pixels or weights to begin with that are not so large: see the numbers of the data, and  normalize"
        hint = inputs or hint  # a smaller rate makes up for no inputs of hundreds
        placed = model.layer(layer) if layer is not None else None
        span = placed.span if placed is not None else model.train.span
        self.diagnostic: Diagnostic | None = None
        if span is None:
            super().__init__("\n".join([message, *(f"  {note}" for note in notes), f"  fix: {hint}"]))
            return
        self.diagnostic = Diagnostic(
            "diverged",
            message,
            span,
            label=label.format(placed.name) if placed else "",
            notes=tuple(notes),
            trail=placed.trail if placed else (),
            hint=hint,
        )
        super().__init__(self.diagnostic.render())
