"""Going on with a run: what a folder may hold when it is opened again, and who may write in it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from runtime_fakes import FakeNetwork, digits_model

from cnnspec.errors import DataError
from cnnspec.model.settings import SGD, DataSettings, Digits, KeepBest, TrainSettings
from cnnspec.runtime.checkpoint import load_checkpoint, save_checkpoint
from cnnspec.runtime.train import train

MODEL = digits_model(
    TrainSettings(epochs=3, batch=100, optimizer=SGD(lr=0.5, momentum=0.9), keep=KeepBest()),
    DataSettings(Digits(), val=0.1),
)


def run(out: Path | None = None, **more):
    return train(MODEL, out=out, make_network=FakeNetwork, **more)


def rewrite(file: Path, **changes):
    """Write a checkpoint anew with another progress, as a program may that knows the format."""
    kept = load_checkpoint(file)
    save_checkpoint(file, MODEL, kept.parameters, kept.optimizer, dataclasses.replace(kept.progress, **changes))


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("step", {"step": 500}),
        ("images", {"images": 0}),
        ("images", {"step": 0}),
        ("correct", {"correct": 10**6}),
        ("epoch", {"epoch": 10**9}),
        ("epoch", {"epoch": 1}),
        ("epoch", {"history": []}),
        ("history 1", {"history": [{"epoch": 1}]}),
        ("history 1", {"history": [{"epoch": 7, "lr": 1, "train.loss": 1, "val.accuracy": 1, "seconds": 1}]}),
        ("history 1", {"history": [{"epoch": 1, "lr": 1, "train.loss": 1, "seconds": 1}]}),
        ("best", {"best": {"metric": "val.accuracy", "value": 0.5, "epoch": 2}}),
    ],
)
def test_a_state_that_contradicts_itself_is_refused(tmp_path, field, changes):
    stopped = run(tmp_path, stop_after_steps=17)  # in the second epoch of 13 steps
    rewrite(stopped.folder / "last.safetensors", **changes)
    with pytest.raises(DataError, match="state of training") as caught:
        run(resume=stopped.folder)
    assert caught.value.field == f"progress.{field}"


@pytest.mark.parametrize("how", ["missing", "cut short"])
def test_where_the_best_weights_are_lost_it_says_so_and_keeps_the_next_best(tmp_path, how):
    stopped = run(tmp_path, stop_after_steps=17)
    best = stopped.folder / "best.safetensors"
    best.unlink() if how == "missing" else best.write_bytes(best.read_bytes()[:-9])
    resumed = run(resume=stopped.folder)
    assert any("the weights of epoch 1, the best so far, are lost" in note for note in resumed.notes)
    assert resumed.status == "finished" and resumed.best["epoch"] in (2, 3)
    load_checkpoint(best, MODEL)
