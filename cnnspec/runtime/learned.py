"""Whether a net has learned anything, and the likely reason where it has not: only what can be measured is said.

A net that ignores its input can still name the most frequent class, and its best constant answer has a loss that
follows from the labels alone. A net whose accuracy and loss are no better than these has learned nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..model.model import Model
from ..text import percent
from .data import Dataset
from .data.split import Split
from .diverged import not_finite
from .evaluate import Evaluation
from .initialize import initial
from .inputs import input_remarks, samples_of, scale_warnings

ENOUGH_STEPS, ENOUGH_EPOCHS = 100, 5  # of training: after less of both, nothing is said
SLACK = 0.98  # of the loss of the best constant answer
STILL = 0.01  # of their first values: how far weights have moved that were hardly trained
FALLING, WILD = 1.02, 1.5  # of the loss of the best constant answer: what may still fall to it, what has left it


@dataclass(frozen=True)
class Guess:
    """Results of the best constant answer on labels: the share of the largest class (NaN for numbers), the loss."""

    share: float
    loss: float

    def explains(self, accuracy: float, loss: float, samples: int, *, untrained: bool = False) -> bool:
        """Whether results are no better: the loss, and the accuracy within two standard errors of the share.

        The allowance for chance is at most a quarter of what is left to reach, as on few samples all is chance.
        ``untrained``: also where the loss is worse and the accuracy a tenth of the way above the share, as first
        weights reach by luck: images of one class look alike, and so get like answers.
        """
        if math.isfinite(loss) and loss < SLACK * self.loss:
            return False
        left = 1 - self.share
        error = math.sqrt(self.share * left / samples)
        luck = 0.1 * left if untrained and not loss < self.loss else 0.0
        return not accuracy > self.share + max(luck, min(2 * error, 0.25 * left))


def guess_of(model: Model, split: Split) -> Guess | None:
    """Return the best constant answer on a split; None where one answer is right for all, so that nothing is shown.

    Cross-entropy: the entropy of the classes, smoothed as the loss smooths them. Mean squared error: the variance of
    the targets, a mean over the outputs; classes stand for one-hot targets.
    """
    labels = split.labels
    if labels.ndim > 1:
        variance = _variance(labels)
        return Guess(math.nan, variance) if variance > 0 else None
    outputs = model.output_shape[-1]
    shares = np.bincount(labels, minlength=outputs) / len(labels)
    if shares.max() == 1:
        return None
    if model.train.loss.word == "mse":
        return Guess(float(shares.max()), float((shares * (1 - shares)).mean()))
    smooth = float(model.train.loss.smooth)
    q = (1 - smooth) * shares + smooth / outputs
    return Guess(float(shares.max()), float(-(q[q > 0] * np.log(q[q > 0])).sum()))


def _variance(targets: np.ndarray) -> float:
    """Return the variance of targets float32[N, F], a mean over F, without a copy of all of them in float64."""
    starts = range(0, len(targets), 4096)
    mean = sum(targets[i : i + 4096].sum(axis=0, dtype=np.float64) for i in starts) / len(targets)
    return float(sum(np.square(targets[i : i + 4096] - mean).sum() for i in starts) / targets.size)


# ---- what is said ---------------------------------------------------------------------------------
def after_training(
    model: Model, data: Dataset, network: Any, metrics: Mapping[str, float], losses: Sequence[float], steps: int
) -> list[str]:
    """Return remarks on a net that has not learned, for a finished run.

    Parameters
    ----------
    metrics : of the final weights, ``train.loss``, ``val.accuracy`` and so on (metrics.measured_of).
    losses : of training, epoch by epoch.
    steps : that were taken.
    """
    part = "test" if data.test is not None else "val" if data.val is not None else "train"
    split, trained = getattr(data, part), guess_of(model, data.train)
    loss, accuracy = metrics.get(f"{part}.loss", math.nan), metrics.get(f"{part}.accuracy", math.nan)
    if f"{part}.loss" in metrics and not math.isfinite(loss):
        return [f"the {part} loss is not finite, though the losses of training are", *_causes(model, data, network)]
    guess = guess_of(model, split)
    if (steps < ENOUGH_STEPS and len(losses) < ENOUGH_EPOCHS) or trained is None or guess is None or not losses:
        return []
    train_loss, train_accuracy = metrics["train.loss"], metrics.get("train.accuracy", math.nan)
    if trained.explains(train_accuracy, train_loss, len(data.train), untrained=True) and guess.explains(
        accuracy, loss, len(split), untrained=True
    ):
        said = f"the net has learned nothing: {_compared(part, accuracy, loss, guess)}"
        return [said, *_causes(model, data, network, losses)]
    better = train_accuracy - accuracy > 3 * math.sqrt(0.25 / len(split)) or train_loss < 0.5 * trained.loss
    if part == "train" or not better or not guess.explains(accuracy, loss, len(split)):
        return []
    know = percent(train_accuracy) if not math.isnan(train_accuracy) else f"loss {train_loss:.4f}"
    said = f"what the net has learned of the training set ({know}) does not carry over: "
    return [said + _compared(part, accuracy, loss, guess), *_causes(model, data, network, part=part)]


def after_evaluation(model: Model, data: Dataset, network: Any, part: str, found: Evaluation) -> list[str]:
    """Return remarks on weights that do no better on a split than a constant answer."""
    split = getattr(data, part)
    guess = guess_of(model, split)
    if not math.isfinite(found.loss):
        return [f"the {part} loss is not finite", *_causes(model, data, network)]
    if guess is None or not guess.explains(found.accuracy, found.loss, len(split)):
        return []
    said = f"the net is no better than guessing: {_compared(part, found.accuracy, found.loss, guess)}"
    return [said, *_causes(model, data, network, part=part)]


def _compared(part: str, accuracy: float, loss: float, guess: Guess) -> str:
    if math.isnan(guess.share):
        return f"{part} loss {loss:.4g}, and {guess.loss:.4g} for always answering the mean"
    return (
        f"{part} accuracy {percent(accuracy)}, loss {loss:.4g}; "
        f"always naming the largest class gives {percent(guess.share)}, {guess.loss:.4g}"
    )


# ---- causes ---------------------------------------------------------------------------------------
def _causes(model: Model, data: Dataset, network: Any, losses: Sequence[float] = (), part: str = "train") -> list[str]:
    """Return the likely reason, the first that is measured.

    ``losses`` : of training, epoch by epoch, where it has learned nothing. ``part`` : the split that shows it.
    """
    parameters = network.parameters()
    bad = not_finite(parameters)
    if bad is not None:
        return [f"likely cause: {bad} holds values that are not finite"]
    warned = scale_warnings(model)
    remarks = [] if warned else input_remarks(model, data)
    warned += [w for w in model.warnings if w.code == "softmax"]
    remarks += [w.remark for w in warned]
    if remarks:
        return [f"likely cause: {remark}" for remark in remarks]
    lr = float(model.train.optimizer.lr)
    if lr == 0:
        return ["likely cause: the learning rate is 0"]
    x, y = samples_of(data.train, network.batch)
    outputs = network.predict(x)
    if len(x) > 1 and not np.ptp(outputs, axis=0).any():
        dead = network.dead_layer(x, y)
        layer = model.layer(dead) if dead is not None else None
        where = f"{layer.name} (line {layer.span.line}) gives 0 for every image" if layer is not None else ""
        said = where or "the net gives the same answer for every image"
        return [f"likely cause: {said}, as after steps that are too large; try lr={lr / 10:g}, or a warmup"]
    guess = guess_of(model, data.train)
    if guess is not None and not losses:
        result = network.eval_step(x, y)
        accuracy = result.correct / len(x) if data.train.labels.ndim == 1 else math.nan
        known = not guess.explains(accuracy, result.loss, len(x))
        if known and part != "train":
            how = percent(accuracy) if not math.isnan(accuracy) else f"loss {result.loss:.4g}"
            return [
                f"likely cause: the {part} set has another scale or other labels, or few samples; "
                f"of training images the net knows {how}"
            ]
        norm = next((layer.name for layer in model.layers if layer.op.name == "bn"), None)
        if norm is not None and not known:
            return [
                f"likely cause: on training images it is as bad where {norm} takes its running statistics, as they are "
                f"after steps that are too large; try lr={lr / 10:g}"
            ]
    moved = _moved(model, parameters)
    if moved < STILL:
        return [f"likely cause: the weights have moved by {percent(moved)} only; try lr={lr * 10:g}"]
    if guess is not None and losses:
        falls = len(losses) > 1 and losses[-2] - losses[-1] > 1e-3 * losses[-1]
        if falls and losses[-1] > FALLING * guess.loss:
            return [f"likely cause: too few steps so far, the loss still falls; train longer, or try lr={lr * 10:g}"]
        if losses[-1] > WILD * guess.loss:
            return [f"likely cause: steps are too large, the loss is far above guessing; try lr={lr / 10:g}"]
    return [
        "likely cause: labels that do not belong to their images, or a learning rate that does not fit; "
        f"try lr={lr / 10:g} and lr={lr * 10:g}"
    ]


def _moved(model: Model, parameters: Mapping[str, np.ndarray]) -> float:
    """Return how far weights are from the seed's first values, as a share of these."""
    change = size = 0.0
    for name, param in model.params.items():
        if param.trainable and len(param.shape) > 1 and not param.is_frozen():
            first = initial(param, name, model.train.seed).ravel()
            now = np.ascontiguousarray(parameters[name]).ravel()
            for i in range(0, len(first), 1 << 20):  # not all at once in float64
                part = first[i : i + (1 << 20)].astype(np.float64)
                change += float(np.square(now[i : i + (1 << 20)] - part).sum())
                size += float(np.square(part).sum())
    return math.sqrt(change / size) if size else math.inf
