"""The scale of what a net is fed, and how many samples its classes have."""

from __future__ import annotations

import numpy as np
import pytest

from cnnspec.compiler import Compiler
from cnnspec.runtime.data import dataset_of_arrays
from cnnspec.runtime.inputs import class_remarks, input_remarks, samples_of


def remarks(x, normalize=""):
    text = (
        f'input {"x".join(map(str, x.shape[1:]))}\nflatten -> dense 2\ndata {{\n  source npz "a.npz"\n{normalize}}}\n'
    )
    model = Compiler.from_text(text).model
    data = dataset_of_arrays(
        x, np.arange(len(x)) % 2, input_shape=x.shape[1:], classes=2, normalize=model.data.normalize
    )
    return input_remarks(model, data)


RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (60, 6, 6, 3)).astype(np.uint8)
UNIT = RNG.random((60, 6, 6, 1), dtype=np.float32)
SPIKE = np.where(np.arange(UNIT.size).reshape(UNIT.shape) == 7, np.float32(1100), UNIT)


@pytest.mark.parametrize(
    ("x", "normalize", "mend"),
    [
        (PIXELS, "", None),
        (PIXELS, "  normalize mean=0.5 std=0.29\n", None),
        (PIXELS, "  normalize mean=127 std=64\n", "write  normalize mean=[0.498, 0.501"),
        (PIXELS, "  normalize mean=[123.7, 116.3, 103.5] std=1\n", "(pixels are scaled to 0..1 before it)"),
        (UNIT, "", None),
        (UNIT * 2 - 1, "", None),
        (UNIT * 0.02, "", None),  # dark, not wrong
        (UNIT, "  normalize mean=0.5 std=64\n", "write  normalize mean=0.4"),
        (UNIT * 255, "", "add  normalize mean=1"),
        (UNIT * 200 - 100, "", "and standard deviation 58"),
        (UNIT * 1e-3 + 1, "", "mean 1"),
        (UNIT * 0 + 0.25, "", "every number of the images that were looked at is 0.25"),
        (SPIKE, "", "numbers as large as 1100 where their standard deviation is 23"),
        (np.minimum(SPIKE, 900), "", None),
        (PIXELS * 0, "", "every number of the images that were looked at is 0:"),
    ],
)
def test_inputs_far_from_mean_0_and_deviation_1_are_told_with_the_mend(x, normalize, mend):
    found = remarks(x, normalize)
    assert found == [] if mend is None else len(found) == 1 and mend in found[0], found


def test_the_mend_mends():
    [said] = remarks(UNIT * 255)
    assert remarks(UNIT * 255, "  normalize" + said.partition("normalize")[2].partition("  to the")[0] + "\n") == []


def test_a_few_samples_are_looked_at_where_each_costs_time():
    class Counted:
        labels = np.zeros(10_000, np.int32)
        seen = 0

        def __init__(self, prefetch, side):
            self.prefetch, self.side = prefetch, side

        def __len__(self):
            return len(self.labels)

        def batch(self, indices):
            self.seen += len(indices)
            return np.zeros((len(indices), self.side, self.side, 1), np.uint8), self.labels[indices]

    for prefetch, side, most in ((True, 1, 32), (False, 1, 256), (False, 256, 64), (True, 8192, 2)):
        split = Counted(prefetch, side)
        samples_of(split)
        assert split.seen == 1 + most  # the first one tells the size


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((50, 50), None),
        ((90, 10), None),
        ((200, 10), "b has 200 training samples, a 10; always answering b is right in 95.2 %"),
        ((50, 0), "no training sample of 1 of 2 classes: a"),
    ],
)
def test_uneven_classes_are_told(counts, said):
    y = np.repeat([1, 0], counts)
    data = dataset_of_arrays(np.zeros((len(y), 1, 1, 1), np.float32), y, input_shape=(1, 1, 1), classes=2)
    object.__setattr__(data, "class_names", ("a", "b"))
    found = class_remarks(data)
    assert found == [] if said is None else said in found[0], found
