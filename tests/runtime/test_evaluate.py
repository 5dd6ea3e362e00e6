from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from cnnspec.runtime.data import ArraySplit, Normalizer
from cnnspec.runtime.evaluate import evaluate


@dataclass
class Result:
    loss: float
    correct: int


class Oracle:
    """Predicts the class that the pixel says; its loss is the pixel's mean."""

    def predict(self, x):
        return np.eye(3, dtype=np.float32)[x.ravel().astype(int)]

    def eval_step(self, x, target):
        return Result(float(x.mean()), int((x.ravel() == target).sum()))


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


def test_targets_that_are_numbers_have_no_accuracy():
    split = ArraySplit(np.zeros((4, 1, 1, 1), np.float32), np.zeros((4, 2), np.float32), Normalizer(white=1.0))

    class Zero:
        def eval_step(self, x, target):
            return Result(0.5, 0)

    assert evaluate(Zero(), split, 3).metrics("test") == {"test.loss": 0.5}
