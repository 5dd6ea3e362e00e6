"""What a loss, a weight or a state that is not finite may touch: nothing that is kept."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from runtime_fakes import FakeNetwork, digits_model

import cnnspec
from cnnspec.compiler import Compiler
from cnnspec.errors import DataError
from cnnspec.model.settings import SGD, DataSettings, Digits, KeepBest, Normalize, TrainSettings
from cnnspec.options import Options
from cnnspec.runtime.checkpoint import load_checkpoint, save_checkpoint
from cnnspec.runtime.data import open_data
from cnnspec.runtime.diverged import TrainingDiverged, not_finite
from cnnspec.runtime.evaluate import evaluate
from cnnspec.runtime.network import Network
from cnnspec.runtime.run_folder import open_run_folder
from cnnspec.runtime.train import train

SETTINGS = TrainSettings(epochs=3, batch=500, optimizer=SGD(lr=0.5, momentum=0.9), keep=KeepBest())
VAL = DataSettings(Digits(), val=0.1)
NORMED = """input 6x6x2
conv 4 3x3 -> bn -> relu
flatten -> dense 3
train { batch 8 }
"""


@pytest.mark.parametrize("where", ["a sample", "a weight behind"])
def test_a_loss_that_is_nan_leaves_running_statistics_weights_and_states(where):
    network = Network(Compiler.from_text(NORMED).with_options(batch=8))
    rng = np.random.default_rng(0)
    x, y = rng.random((8, 6, 6, 2), dtype=np.float32), np.arange(8, dtype=np.int32) % 3
    network.train_step(x, y, lr=0.1)
    if where == "a sample":
        x[3, 2, 2, 1] = np.nan
    else:  # the statistics of this batch are finite, and still it is a step that must not count
        network.load_parameters({**network.parameters(), "dense.bias": np.array([0, np.inf, 0], np.float32)})
    before = {**network.parameters(), **network.optimizer_state()}
    assert not np.isfinite(network.train_step(x, y, lr=0.1).loss)
    after = {**network.parameters(), **network.optimizer_state()}
    assert "bn.running_mean" in before
    assert [name for name in before if before[name].tobytes() != after[name].tobytes()] == []


def overflows(after, spoil):
    class Overflows(FakeNetwork):
        def after_step(self):
            if len(self.calls) == after:
                spoil(self)

    return Overflows


def infinite_weight(network):
    network.weights["dense1.weight"][3, 4] = np.inf


def infinite_state(network):
    network.velocity["dense1.bias"][1] = np.nan


@pytest.mark.parametrize("checkpoint_seconds", [1e9, 0.0])
@pytest.mark.parametrize(("spoil", "named"), [(infinite_weight, "dense1.weight"), (infinite_state, "dense1.bias")])
def test_what_is_not_finite_never_replaces_a_good_checkpoint(tmp_path, spoil, named, checkpoint_seconds):
    """The loss of the step that spoils a weight is finite: only the weights tell."""
    network = overflows(6, spoil)  # the last step of the second epoch
    with pytest.raises(TrainingDiverged, match="not finite") as caught:
        train(
            digits_model(SETTINGS, VAL), data=None, out=tmp_path, make_network=network,
            checkpoint_seconds=checkpoint_seconds,
        )  # fmt: skip
    error = caught.value
    assert (error.layer, error.epoch, error.step) == ("dense1", 2, 3)
    assert named in str(error) and "epoch 2, step 3 of 3" in str(error) and "digits.cnn:3:1" in str(error)
    folder = open_run_folder(error.checkpoint.parent)
    for file in (folder.last, folder.best):
        kept = load_checkpoint(file, digits_model())
        assert not_finite(kept.parameters, kept.optimizer) is None
    assert len(folder.history()) == 1


def test_without_a_folder_weights_that_are_not_finite_are_told_too():
    with pytest.raises(TrainingDiverged):
        train(digits_model(SETTINGS, VAL), out=None, make_network=overflows(6, infinite_weight))


def test_a_checkpoint_that_is_not_finite_is_not_gone_on_with(tmp_path):
    model = digits_model(SETTINGS, VAL)
    stopped = train(model, out=tmp_path, make_network=FakeNetwork, stop_after_steps=4)
    file = open_run_folder(stopped.folder).last
    kept = load_checkpoint(file, model)
    kept.parameters["dense1.bias"][2] = np.nan
    save_checkpoint(file, model, kept.parameters, kept.optimizer, kept.progress)
    with pytest.raises(DataError, match="not finite") as caught:
        train(model, resume=stopped.folder, make_network=FakeNetwork)
    assert caught.value.field == "dense1.bias"


def test_a_validation_that_overflows_does_not_speak_of_the_layers_of_a_step(tmp_path):
    class Explodes(FakeNetwork):
        def eval_step(self, x, target, *, outputs=False):
            return dataclasses.replace(super().eval_step(x, target), loss=float("inf"))

    with pytest.raises(TrainingDiverged) as caught:
        train(digits_model(SETTINGS, VAL), out=tmp_path, make_network=Explodes)
    assert "losses of the training steps are finite" in str(caught.value)
    assert "the loss itself overflows" not in str(caught.value)


@pytest.mark.parametrize("checkpoint_seconds", [1e9, 0.0])
def test_finite_weights_that_overflow_every_output_are_no_good_checkpoint(tmp_path, checkpoint_seconds):
    text = "input 8x8x1\nconv 8 3x3 -> bn -> relu\nflatten -> dense 10\ndata { source digits }\n"
    settings = "train {\n  optimizer sgd lr=1e36\n  epochs 3\n  batch 2000\n  keep best on=train.loss\n}\n"
    model = Compiler.from_text(text + settings, name="boom.cnn").model
    with pytest.raises(TrainingDiverged, match="inference after epoch 1, step 1 of 1") as caught:
        train(model, out=tmp_path, checkpoint_seconds=checkpoint_seconds)
    folder = open_run_folder(caught.value.checkpoint.parent)
    assert not folder.best.exists() and folder.history() == []
    data = open_data(model.data, model.input_shape, 10)
    network = Network(Compiler.of(model, Options(batch=64)))
    network.load_parameters(load_checkpoint(folder.last, model).parameters)
    assert np.isfinite(evaluate(network, data.train, 64).loss)


def test_a_loss_that_overflows_alone_is_told_so_and_no_layer_is_blamed():
    net = cnnspec.parse("input 2x2x1\nflatten -> dense 2\ntrain {\n  loss mse\n  epochs 1\n  batch 4\n}\n")
    net.set_weights({"dense.weight": np.full((4, 2), 1e25), "dense.bias": np.zeros(2)})
    with pytest.raises(TrainingDiverged, match="the loss itself overflows") as caught:
        net.train(np.ones((4, 2, 2, 1), np.float32), np.zeros((4, 2), np.float32), progress=False)
    assert caught.value.layer is None


def test_at_the_first_step_the_learning_rate_is_not_blamed():
    net = cnnspec.parse(NORMED)
    x, y = np.zeros((8, 6, 6, 2), np.float32), np.arange(8) % 3
    x[3, 2, 2, 1] = 1e38
    with pytest.raises(TrainingDiverged) as caught:
        net.train(x, y, progress=False)
    assert "normalize" in caught.value.diagnostic.hint and "learning rate" not in caught.value.diagnostic.hint
    with pytest.raises(TrainingDiverged) as caught:
        cnnspec.parse(NORMED).train(x / 1e38, y, lr=1e30, progress=False)
    assert "lr=0.1 instead of lr=1e+30" in caught.value.diagnostic.hint


@pytest.mark.parametrize(("std", "hint"), [(0.001, "the net's inputs have mean"), (0.29, "a smaller learning rate")])
def test_inputs_that_are_too_large_are_named_before_the_rate(std, hint):
    data = DataSettings(Digits(), val=0.1, normalize=Normalize((0.5,), (std,)))
    with pytest.raises(TrainingDiverged) as caught:
        train(digits_model(SETTINGS, data), out=None, make_network=overflows(6, infinite_weight))
    assert caught.value.diagnostic.hint.startswith(hint)
    assert ("write  normalize mean=" in str(caught.value)) == (std == 0.001)
