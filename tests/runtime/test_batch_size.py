"""Batch norm over one value of a channel: never trained on, and told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cnnspec.compiler import Compiler
from cnnspec.errors import DataError
from cnnspec.runtime.data import dataset_of_arrays
from cnnspec.runtime.data.loader import batches
from cnnspec.runtime.train import train

NETS = {
    "dense": "flatten -> dense 6 -> bn -> relu -> dense 3",
    "pool": "conv 4 3x3 -> avgpool global -> bn -> flatten -> dense 3",
    "image": "conv 4 3x3 -> bn -> relu -> flatten -> dense 3",
}


def fit(net, samples, batch, **more):
    model = Compiler.from_text(f"input 4x4x1\n{NETS[net]}\ntrain {{ epochs 2 }}\n", name="net.cnn").model
    model = replace(model, train=replace(model.train, batch=batch))  # a spec with batch 1 would be refused before
    rng = np.random.default_rng(0)
    x, y = rng.random((samples, 4, 4, 1), dtype=np.float32), np.arange(samples) % 3
    data = dataset_of_arrays(x, y, input_shape=(4, 4, 1), classes=3)
    return train(model, data=data, out=None, **more)


@pytest.mark.parametrize("net", ["dense", "pool"])
@pytest.mark.parametrize(
    ("samples", "batch", "found", "hint"),
    [
        (9, 1, "batches of 1", "batch 9"),
        (9, 2, "a last batch of 1: 9 samples in batches of 2", "batch 3, or any larger one"),
        (1, 8, "batches of 1", "train on more samples"),
    ],
)
def test_where_a_batch_of_one_cannot_be_helped_it_is_refused(net, samples, batch, found, hint):
    with pytest.raises(DataError, match="one value of each channel") as caught:
        fit(net, samples, batch)
    assert (caught.value.found, caught.value.hint) == (found, hint)


@pytest.mark.parametrize("net", ["dense", "pool"])
def test_a_last_batch_of_one_shares_with_the_one_before(net):
    result = fit(net, 9, 4)
    [note] = [n for n in result.notes if "last two batches" in n]
    assert "9 samples in batches of 4" in note and "3 and 2" in note
    variance = next(v for k, v in result.network.parameters().items() if k.endswith("running_var"))
    assert np.isfinite(variance).all() and (variance > 0).all()


@pytest.mark.parametrize(
    ("net", "samples", "batch"), [("image", 9, 1), ("image", 9, 4), ("dense", 9, 3), ("dense", 8, 8)]
)
def test_where_batch_norm_sees_more_nothing_is_changed_or_told(net, samples, batch):
    assert fit(net, samples, batch).notes == ()


@pytest.mark.parametrize("samples", [1, 4, 5, 8, 9, 13, 16, 17])
def test_each_sample_comes_once_whatever_the_fewest(samples):
    x = np.arange(samples, dtype=np.float32).reshape(-1, 1, 1, 1)
    split = dataset_of_arrays(x, np.zeros(samples, np.int64), input_shape=(1, 1, 1), classes=1).train
    order = np.random.default_rng(1).permutation(samples)
    made = list(batches(split, order, 4, fewest=2))
    assert np.concatenate([b.sample_ids for b in made]).tolist() == order.tolist()
    assert len(made) == -(-samples // 4)
    sizes = [len(b.y) for b in made]
    assert sizes == {1: [1], 5: [3, 2], 9: [4, 3, 2], 13: [4, 4, 3, 2], 17: [4, 4, 4, 3, 2]}.get(
        samples, [4] * (samples // 4)
    )
    for start in range(len(made) + 1):
        again = list(batches(split, order, 4, start, 2))
        assert [b.sample_ids.tolist() for b in again] == [b.sample_ids.tolist() for b in made[start:]]
