from __future__ import annotations

import threading

import numpy as np
import pytest

from cnnspec.errors import DataError
from cnnspec.model.settings import DataSettings, Digits
from cnnspec.runtime.data import Dataset, open_data
from cnnspec.runtime.data.digits import load_digits
from cnnspec.runtime.data.loader import batches, epoch_order
from cnnspec.runtime.data.split import ArraySplit, Normalizer, hold_out, with_validation
from cnnspec.runtime.rng import keyed

IMAGES = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)


def split(labels=None, prefetch=False):
    made = ArraySplit(IMAGES, np.arange(100, dtype=np.int32) % 7 if labels is None else labels, Normalizer())
    made.prefetch = prefetch
    return made


def pixels(part):
    return np.round(part.batch(np.arange(len(part)))[0].ravel() * 255).astype(int)


def test_digits():
    images, labels = load_digits()
    assert images.shape == (1797, 8, 8, 1) and images.max() == 16 and images.min() == 0
    data = open_data(DataSettings(Digits()), (8, 8, 1), 10)
    assert (len(data.train), len(data.test), data.classes) == (1438, 359, 10)
    x, y = data.train.batch(np.arange(1438))
    assert x.min() == 0 and x.max() == 1
    rows = data.train.rows
    assert (x * 16 == images[rows]).all() and (y == labels[rows]).all()
    assert set(rows).isdisjoint(data.test.rows) and len(set(rows) | set(data.test.rows)) == 1797
    share = np.bincount(data.test.labels) / np.bincount(labels)
    assert abs(share - 0.2).max() < 0.01
    assert data.train.normalizer.white == data.scale.white == 16


def test_counts_of_each_class():
    data = open_data(DataSettings(Digits(), val=0.1), (8, 8, 1), 10)
    counts = data.class_counts
    assert list(counts) == ["train", "val", "test"] and all(len(numbers) == 10 for numbers in counts.values())
    assert [sum(numbers) for numbers in counts.values()] == [1295, 143, 359]
    assert counts["test"] == tuple(np.bincount(data.test.labels))
    labels = np.array([0, 2, 2], np.int32)
    few = Dataset("few", split(labels), None, None, ("a", "b", "c", "d"), "")
    assert few.class_counts == {"train": (1, 0, 2, 0)}
    assert Dataset("numbers", split(np.zeros((3, 2), np.float32)), None, None, (), "").class_counts == {}


def test_digits_are_8x8():
    with pytest.raises(DataError) as caught:
        open_data(DataSettings(Digits()), (28, 28, 1), 10)
    assert caught.value.hint == "input 8x8x1"


def test_no_data_section():
    for shape, source in (((8, 8, 1), "digits"), ((224, 224, 3), "folders"), ((28, 28, 1), "fashion_mnist")):
        with pytest.raises(DataError, match="no data section") as caught:
            open_data(None, shape, 10)
        assert f"source {source}" in caught.value.hint


def test_hold_out_is_a_stratified_partition_fixed_by_the_seed():
    rest, held = hold_out(split(), 0.2, 1)
    assert len(held) == 20 and sorted([*pixels(rest), *pixels(held)]) == list(range(100))
    assert set(np.bincount(held.labels)) <= {2, 3, 4}
    assert (pixels(held) == pixels(hold_out(split(), 0.2, 1)[1])).all()
    assert set(pixels(held)) != set(pixels(hold_out(split(), 0.2, 2)[1]))


def test_each_class_is_on_both_sides_and_an_only_sample_is_trained_on():
    for seed in range(1, 40):
        for share in (0.05, 0.2, 0.9):
            labels = np.repeat(np.arange(7), [1, 2, 3, 1, 60, 32, 1]).astype(np.int32)
            rest, held = hold_out(split(labels), share, seed)
            assert sorted([*pixels(rest), *pixels(held)]) == list(range(100))
            in_rest, in_held = (np.bincount(part.labels, minlength=7) for part in (rest, held))
            assert (in_rest > 0).all()
            assert ((in_held > 0) == [False, True, True, False, True, True, False]).all()


def test_a_balanced_division_is_as_it_always_was():
    """What a seed holds out of evenly filled classes rests in runs that may be resumed."""
    order = keyed(3, "val").permutation(100)
    labels = np.arange(100, dtype=np.int32) % 5
    order = order[np.argsort(labels[order], kind="stable")]
    _, held = hold_out(split(labels), 0.2, 3)
    assert sorted(order[4::5]) == sorted(pixels(held))


def test_what_validation_lacks_is_told():
    labels = np.repeat(np.arange(5), [1, 2, 2, 2, 2]).astype(np.int32)
    names = tuple("abcde")
    data = with_validation(Dataset("few", split(labels).subset(np.arange(9)), None, None, names, ""), 0.12, 1)
    assert data.class_counts == {"train": (1, 1, 1, 1, 1), "val": (0, 1, 1, 1, 1)}
    assert any("not held out for validation: a" in note for note in data.notes)
    assert any("split val=12% holds out 4 of 9 samples" in note for note in data.notes)
    assert with_validation(data, 0.12, 1).notes[-1].startswith("split val=12% is not used")
    assert with_validation(data, 0.0, 1) is data


def test_hold_out_of_nothing_is_refused():
    with pytest.raises(DataError, match="empty") as caught:
        hold_out(split(), 0.001, 1)
    assert caught.value.field == "data: split val" and caught.value.hint == "split val=1%"
    assert len(hold_out(split(), 0.01, 1)[1]) == 7  # the mend works
    for share in (0.001, 0.2):
        with pytest.raises(DataError, match="empty") as caught:
            hold_out(split(np.arange(100, dtype=np.int32)), share, 1)
        assert caught.value.hint == "" and "a class of two samples" in caught.value.expected


def test_val_share_of_a_spec_depends_on_the_seed():
    one, two = (open_data(DataSettings(Digits(), val=0.1), (8, 8, 1), 10, seed=s) for s in (1, 2))
    assert len(one.val) == len(two.val) == 143 and len(one.train) == 1295
    assert (one.val.rows != two.val.rows).any() and (one.test.rows == two.test.rows).all()


@pytest.mark.parametrize("prefetch", [False, True])
@pytest.mark.parametrize("start", [0, 2, 14, 15])
def test_batches_in_order_with_the_short_last_one(prefetch, start):
    order = epoch_order(100, 1, 1)
    seen = list(batches(split(prefetch=prefetch), order, 7, start))
    assert [b.step for b in seen] == list(range(start, 15))
    if seen:
        assert len(seen[-1].y) == 2
        assert (np.concatenate([b.sample_ids for b in seen]) == order[start * 7 :]).all()
        values = np.concatenate([np.round(b.x.ravel() * 255) for b in seen])
        assert (values == order[start * 7 :]).all()
        assert all((b.y == b.sample_ids % 7).all() for b in seen)


def test_errors_of_the_background_thread_arrive_and_no_thread_stays():
    class Breaks(ArraySplit):
        def fill(self, indices, x):
            if indices[0] >= 20:
                raise DataError("broken", path="x")
            super().fill(indices, x)

    broken = Breaks(IMAGES, np.zeros(100, np.int32), Normalizer())
    broken.prefetch = True
    got = []
    with pytest.raises(DataError, match="broken"):
        for b in batches(broken, np.arange(100), 10):
            got.append(b.step)
    assert got == [0, 1]
    assert not [t for t in threading.enumerate() if t.name.startswith("cnnspec-ahead")]


def test_order_is_a_permutation_of_seed_and_epoch():
    assert sorted(epoch_order(50, 1, 1)) == list(range(50))
    assert (epoch_order(50, 1, 3) == epoch_order(50, 1, 3)).all()
    assert (epoch_order(50, 1, 3) != epoch_order(50, 1, 4)).any()
    assert (epoch_order(50, 1, 3) != epoch_order(50, 2, 3)).any()
    assert epoch_order(50, 1, 1).dtype == np.int64
