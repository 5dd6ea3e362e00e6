"""How good a net is on a split: mean loss, accuracy, and which classes it takes for which."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import DataError
from ..ir.fields import dims
from ..model.model import Model
from ..text import some
from .data.loader import Batch, batches
from .data.split import Dataset, Split

if TYPE_CHECKING:
    from .network import Network

SPLITS = ("test", "val", "train")


@dataclass(frozen=True)
class Mistake:
    """One sample whose class was not recognised.

    Attributes
    ----------
    sample : its row in the array that the split is taken from, such as ``x_test``; for files its place in the split.
    file : the image file, None where samples lie in arrays.
    true, predicted : class numbers.
    probability : of the predicted class, in [0, 1].
    """

    sample: int
    file: Path | None
    true: int
    predicted: int
    probability: float


@dataclass(frozen=True)
class Evaluation:
    """The result on one split.

    Attributes
    ----------
    loss : mean over the samples.
    accuracy : share of samples whose largest logit is the label's, in [0, 1]; NaN where targets are numbers.
    images, seconds : how many samples, and the wall time they took.
    confusion : int64[classes, classes], rows the true class, columns the predicted one, where asked for.
    mistakes : the samples taken for another class, the surest first, where asked for.
    class_names : the names of the rows and columns, where known.
    """

    loss: float
    accuracy: float
    images: int
    seconds: float
    confusion: np.ndarray | None = field(default=None, repr=False)
    mistakes: tuple[Mistake, ...] = field(default=(), repr=False)
    class_names: tuple[str, ...] = ()

    def metrics(self, part: str) -> dict[str, float]:
        """Return ``{part}.loss`` and, for classes, ``{part}.accuracy``."""
        found = {f"{part}.loss": self.loss}
        if not np.isnan(self.accuracy):
            found[f"{part}.accuracy"] = self.accuracy
        return found

    @property
    def class_accuracy(self) -> np.ndarray:
        """Accuracy float64[classes] of each true class; NaN for a class without samples."""
        assert self.confusion is not None, "evaluate(..., classes=K) counts the confusion"
        total = self.confusion.sum(axis=1)
        return np.where(total > 0, np.diag(self.confusion) / np.maximum(total, 1), np.nan)


def split_of(data: Dataset, name: str, option: str = "") -> Split:
    """Return a split of the data; DataError where it has none of this name, with what ``option`` may be given."""
    part: Split | None = getattr(data, name) if name in SPLITS else None
    if part is None:
        there = [other for other in SPLITS if getattr(data, other) is not None]
        raise DataError(
            f"the data has no {name} split",
            path=data.name,
            expected=" or ".join(there),
            hint=f"{option} {there[0]}" if option else "",
        )
    return part


def target_dtype(model: Model, split: Split) -> str:
    """Return the dtype of a network's targets for a split: ``i32`` for class numbers, ``f32`` for numbers [N, F].

    Raises
    ------
    DataError
        When targets are numbers, but the loss is not mse or the net has another number of outputs.
    """
    if split.labels.ndim == 1:
        return "i32"
    if model.train.loss.word != "mse":
        raise DataError(
            f"the loss {model.train.loss.word} takes class numbers, not targets of floats",
            path=model.source.name,
            field="train: loss",
            expected="labels of whole numbers, one a sample",
            found=f"{split.labels.dtype} {list(split.labels.shape)}",
            hint=_hint_for_targets(split.labels),
        )
    found, outputs = split.labels.shape[1], model.output_shape
    if outputs != (found,):
        raise DataError(
            "the net has not as many outputs as a target has numbers",
            path=model.source.name,
            field="output",
            expected=some(found, "output"),
            found=dims(outputs),
            hint=f"end the net in  dense {found}",
        )
    return "f32"


def _hint_for_targets(targets: np.ndarray) -> str:
    head = targets[:4096]
    if head.shape[1] == 1:
        return "y[:, 0].astype(numpy.int64) if they number classes, or train { loss mse } if they are targets"
    if ((head == 0) | (head == 1)).all() and (head.sum(axis=1) == 1).all():
        return "one-hot labels become class numbers by y.argmax(axis=1); as targets they are for train { loss mse }"
    return "train { loss mse }"


def evaluate(
    network: Network,
    split: Split,
    batch: int,
    classes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Return loss and accuracy of a network on a split, in inference mode.

    Parameters
    ----------
    network : a compiled network.
    split : the samples, taken in their order.
    batch : samples a step; at most what the network was made for.
    classes : also count the confusion between so many classes, and list the mistakes.
    progress : called after each step with the samples done and all.
    """
    started = time.perf_counter()
    is_classes = split.labels.ndim == 1
    loss_sum, correct, done = 0.0, 0, 0
    confusion = np.zeros((classes, classes), np.int64) if classes else None
    mistakes: list[Mistake] = []
    with closing(batches(split, np.arange(len(split)), batch)) as parts:
        for part in parts:
            result = network.eval_step(part.x, part.y, outputs=confusion is not None)
            if confusion is not None and result.outputs is not None:
                predicted = result.outputs.argmax(axis=1)
                np.add.at(confusion, (part.y, predicted), 1)
                mistakes += _mistakes(split, part, softmax(result.outputs), predicted)
            loss_sum += result.loss * len(part.y)
            correct += result.correct
            done += len(part.y)
            if progress is not None:
                progress(done, len(split))
    return Evaluation(
        loss_sum / len(split),
        correct / len(split) if is_classes else float("nan"),
        len(split),
        time.perf_counter() - started,
        confusion,
        tuple(sorted(mistakes, key=lambda m: (-m.probability, m.sample))),
    )


def _mistakes(split: Split, part: Batch, probabilities: np.ndarray, predicted: np.ndarray) -> list[Mistake]:
    wrong = np.flatnonzero(predicted != part.y)
    return [
        Mistake(
            *split.origin_of(int(part.sample_ids[i])),
            int(part.y[i]),
            int(predicted[i]),
            float(probabilities[i, predicted[i]]),
        )
        for i in wrong
    ]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities float32[n, F] of logits [n, F]; each row sums to 1."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))
