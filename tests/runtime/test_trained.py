"""What weights remember of their training, read back from files of any content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runtime_fakes import digits_model

from cnnspec.errors import DataError
from cnnspec.runtime.checkpoint import Progress, save_checkpoint
from cnnspec.runtime.data import data_of, dataset_of_arrays
from cnnspec.runtime.data.pixels import PixelScale
from cnnspec.runtime.initialize import initial_parameters
from cnnspec.runtime.trained import TrainedOn, compare_data, compare_spec, trained_on, weights_used

MODEL = digits_model()
RECORD = TrainedOn("pets", ("cat", "dog"), "abc", PixelScale(255.0, 0.0, 250.0, "uint8"), 0.25, ((0.5,), (0.2, 0.3)))


def save(path: Path, **entries: Any) -> Path:
    save_checkpoint(path, MODEL, initial_parameters(MODEL), **entries)
    return path


def test_the_record_of_a_file_is_read_back(tmp_path: Path) -> None:
    data = data_of(MODEL)
    record = trained_on(data)
    assert record.class_names == tuple("0123456789") and record.scale == data.scale
    assert record.brightness == pytest.approx(0.305, abs=0.03)  # the digits' mean is 4.88 of 16
    found = weights_used(save(tmp_path / "w.safetensors", data=record.as_dict()))
    assert (found.kind, found.epoch, found.trained) == ("file", None, record)
    assert str(found) == str(tmp_path / "w.safetensors")


def test_how_images_are_normalised_is_compared_with_the_spec() -> None:
    assert compare_spec(trained_on(data_of(MODEL)), MODEL) == [] == compare_spec(None, MODEL)
    assert compare_spec(RECORD, MODEL) == [
        "the weights were trained on images normalised by mean=0.5 std=[0.2, 0.3], and the spec says mean=0 std=1"
    ]


def test_the_manifest_beside_weights_fills_in_for_a_record(tmp_path: Path) -> None:
    pixels = {key: value for key, value in RECORD.as_dict().items() if key not in ("class_names", "sha256")}
    manifest = {"class_names": ["cat", "dog"], "data_sha256": "abc", "data": pixels}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert weights_used(save(tmp_path / "w.safetensors")).trained == RECORD


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"progress": Progress(1, epoch=4)}, "last.safetensors (last epoch, 3)"),
        ({"progress": Progress(1, epoch=4, step=7)}, "last.safetensors (step 7 of epoch 4)"),
        ({"progress": Progress(1)}, "last.safetensors (untrained)"),
        (
            {"best": {"metric": "val.loss", "value": 0.25, "epoch": 2}},
            "last.safetensors (best epoch, 2: val.loss 0.2500)",
        ),
    ],
)
def test_weights_say_where_in_a_training_they_stood(tmp_path: Path, entries: dict[str, Any], words: str) -> None:
    assert str(weights_used(save(tmp_path / "last.safetensors", **entries))) == words


@pytest.mark.parametrize(
    "content",
    [
        5,
        [],
        "pets",
        {"class_names": 7, "sha256": None, "scale": [1], "brightness": "dark"},
        {"class_names": {"a": 1}, "scale": {"white": 0}, "brightness": float("nan")},
        {"scale": {"white": True, "low": "x"}, "brightness": -3},
        {
            "name": ["x"],
            "scale": {"white": float("inf"), "low": 0, "high": 1},
            "brightness": True,
            "normalize": {"mean": [], "std": 1},
        },
    ],
)
def test_a_record_of_any_content_is_no_crash(tmp_path: Path, content: Any) -> None:
    found = weights_used(save(tmp_path / "w.safetensors", data=content)).trained
    assert found is None or (found.class_names == () and found.scale is None)
    assert compare_data(found, data_of(MODEL)) in ([], [f"the net was trained on {['x']}, and digits is other data"])


def test_data_is_held_against_the_record() -> None:
    x, y = np.zeros((8, 2, 2, 1), np.uint8), np.arange(8) % 2
    x[4:] = 200
    data = dataset_of_arrays(x, y, input_shape=(2, 2, 1))
    same = trained_on(data)
    assert compare_data(same, data) == [] == compare_data(None, data)
    assert compare_data(TrainedOn("arrays", (), "abc"), data) == ["arrays has changed since the net was trained on it"]
    with pytest.raises(DataError, match="expected: cat, dog\n  found:    0, 1"):
        compare_data(RECORD, data)
    with pytest.raises(DataError, match="another scale"):
        compare_data(TrainedOn("arrays", scale=PixelScale(1.0, -1.0, 1.0, "float32")), data)
    npz = TrainedOn("mnist", scale=PixelScale(255.0, 0.0, 255.0, "uint8"))
    digits = data_of(MODEL)  # their white is 16, and stays so
    assert compare_data(npz, digits) == ["the net was trained on mnist, and digits is other data"]
    dim = TrainedOn("mnist", scale=PixelScale(255.0, 0.0, 16.0, "uint8"))
    assert "differ in scale; are they made alike?" in compare_data(dim, digits)[-1]
    many = TrainedOn("pets", tuple(f"class{i}" for i in range(100)))
    with pytest.raises(DataError, match=r"class19, \.\.\. \(100 classes\)"):
        compare_data(many, data)
