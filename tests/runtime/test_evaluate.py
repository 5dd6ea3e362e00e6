from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cnnspec.runtime.data.split import ArraySplit, Normalizer
from cnnspec.runtime.evaluate import evaluate


@dataclass
class Result:
    loss: float
    correct: int
    outputs: np.ndarray | None = None


class Oracle:
    """Predicts the class that the pixel says; its loss is the pixel's mean."""

    def predict(self, x):
        return np.eye(3, dtype=np.float32)[x.ravel().astype(int)]

    def eval_step(self, x, target, *, outputs=False):
        logits = self.predict(x) if outputs else None
        return Result(float(x.mean()), int((x.ravel() == target).sum()), logits)


def test_means_are_over_samples_and_confusion_has_truth_in_rows():
    images = np.array([0, 1, 2, 2, 1, 0, 0], np.float32).reshape(7, 1, 1, 1)
    labels = np.array([0, 1, 2, 1, 1, 0, 1], np.int32)
    split = ArraySplit(images, labels, Normalizer(white=1.0))
    result = evaluate(Oracle(), split, 3, classes=3)
    assert result.loss == pytest.approx(images.mean())
    assert result.accuracy == 5 / 7 and result.images == 7
    assert result.confusion.tolist() == [[2, 0, 0], [1, 2, 1], [0, 0, 1]]
    assert result.class_accuracy.tolist() == [1.0, 0.5, 1.0]
    assert result.metrics("val") == {"val.loss": result.loss, "val.accuracy": 5 / 7}
    e = float(np.exp(1))
    assert [(m.sample, m.file, m.true, m.predicted) for m in result.mistakes] == [(3, None, 1, 2), (6, None, 1, 0)]
    assert result.mistakes[0].probability == pytest.approx(e / (e + 2))


def test_a_mistake_names_the_row_of_the_array_or_the_file():
    images = np.array([2, 0, 1, 0], np.float32).reshape(4, 1, 1, 1)
    split = ArraySplit(images, np.array([0, 0, 0, 0], np.int32), Normalizer(white=1.0))
    rows = np.array([3, 2, 0])
    assert [m.sample for m in evaluate(Oracle(), split.subset(rows), 2, classes=3).mistakes] == [0, 2]
    files = [Path(f"{i}.png") for i in range(4)]
    split = ArraySplit(images, split.labels, split.normalizer, files=files)
    found = evaluate(Oracle(), split.subset(rows), 2, classes=3).mistakes
    assert [(m.sample, str(m.file)) for m in found] == [(1, "2.png"), (2, "0.png")]


def test_targets_that_are_numbers_have_no_accuracy():
    split = ArraySplit(np.zeros((4, 1, 1, 1), np.float32), np.zeros((4, 2), np.float32), Normalizer(white=1.0))

    class Zero:
        def eval_step(self, x, target, *, outputs=False):
            return Result(0.5, 0)

    assert evaluate(Zero(), split, 3).metrics("test") == {"test.loss": 0.5}
