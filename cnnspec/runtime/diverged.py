"""Training that lost its way: the loss is NaN or infinite, told with the layer where it began."""

from __future__ import annotations

from pathlib import Path

from ..errors import CnnSpecError, Diagnostic
from ..model.model import Model


class TrainingDiverged(CnnSpecError):
    """The loss is not finite.

    Attributes
    ----------
    epoch, step : where it happened, both counted from 1.
    loss : the value.
    layer : the first layer whose output is not finite, or None where all outputs are.
    lr : the learning rate of the step.
    checkpoint : the last good checkpoint, or None where nothing is written.
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
    ) -> None:
        self.loss, self.epoch, self.step, self.lr = loss, epoch, step, lr
        self.layer, self.checkpoint = layer, checkpoint
        where = f"epoch {epoch}, step {step} of {steps}"
        if during != "step":
            where = f"{during} after epoch {epoch}"
        value = "NaN" if loss != loss else "infinite"
        message = f"the loss became {value} in {where}"
        notes = [f"learning rate of this step: {lr:g}"]
        if layer is None:
            notes.append("every layer's output is finite; the loss itself overflows")
        if checkpoint is not None:
            notes.append(f"the last good checkpoint is kept: {checkpoint}")
        start = float(model.train.optimizer.lr)
        hint = f"a smaller learning rate, such as lr={start / 10:g} instead of lr={start:g}"
        if model.train.warmup_epochs == 0:
            hint += ", or a warm-up: schedule warmup 1 -> cosine"
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
            label=f"{placed.name} is the first layer whose output is not finite" if placed else "",
            notes=tuple(notes),
            trail=placed.trail if placed else (),
            hint=hint,
        )
        super().__init__(self.diagnostic.render())
