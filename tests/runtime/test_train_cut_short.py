"""Trainings that end before their last step: divergence, a full disk, Ctrl-C, data that cannot be read."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal

import pytest
from runtime_fakes import FakeNetwork, digits_model
from training_runs import FULL, VAL, Recorder, run, same_weights

from cnnspec.errors import DataError, MachineError
from cnnspec.model.settings import DataSettings, Folders
from cnnspec.runtime.diverged import TrainingDiverged


def test_nan_stops_with_the_layer_its_line_and_the_checkpoint(tmp_path):
    class Explodes(FakeNetwork):
        nan_at = (2, 5)

    model = digits_model(FULL, VAL)
    with pytest.raises(TrainingDiverged) as caught:
        run(model, tmp_path, network=Explodes)
    error = caught.value
    text = str(error)
    assert (error.epoch, error.step, error.layer) == (2, 5, "dense1")
    assert "the loss became NaN in epoch 2, step 5 of 13" in text
    assert "digits.cnn:3:1" in text and "dense classes" in text
    assert "dense1 is the first layer whose output is not finite" in text
    assert "lr=0.05 instead of lr=0.5" in text
    assert str(error.checkpoint) in text and error.checkpoint.is_file()
    stopped = run(model, resume=error.checkpoint.parent, stop_after_steps=0)
    assert len(stopped.history) == 1  # what was kept is the end of epoch 1


def test_infinite_validation_loss_stops_too(tmp_path):
    class Explodes(FakeNetwork):
        def eval_step(self, x, target, *, outputs=False):
            return dataclasses.replace(super().eval_step(x, target), loss=float("inf"))

    with pytest.raises(TrainingDiverged, match="infinite in validation after epoch 1"):
        run(digits_model(FULL, VAL), tmp_path, network=Explodes)


def test_a_disk_that_fills_up_ends_the_run_and_loses_nothing(tmp_path, monkeypatch):
    model = digits_model(FULL, VAL)
    real, written = os.fsync, []

    def fills_up(handle):
        written.append(handle)
        if len(written) > 16:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", fills_up)
    with pytest.raises(MachineError, match="disk is full") as caught:
        run(model, tmp_path / "full")
    monkeypatch.undo()
    folder = next((tmp_path / "full").iterdir())
    assert caught.value.path.parent == folder and "--out" in caught.value.hint
    assert not [p.name for p in folder.iterdir() if p.name.endswith(".part")]
    resumed = run(model, resume=folder)
    assert 0 < len(resumed.network.calls) < 52
    assert same_weights(resumed.network, run(model).network)


def test_first_ctrl_c_finishes_the_step_saves_and_says_so(tmp_path):
    class Interrupted(FakeNetwork):
        def after_step(self):
            if len(self.calls) == 5:
                os.kill(os.getpid(), signal.SIGINT)

    model = digits_model(FULL, VAL)
    recorder = Recorder()
    before = signal.getsignal(signal.SIGINT)
    result = run(model, tmp_path, network=Interrupted, reporter=recorder)
    assert signal.getsignal(signal.SIGINT) is before
    assert result.status == "interrupted" and recorder.events[-1] == ("end", "interrupted")
    assert recorder.notes[-1] == "stopped in epoch 1 after step 5 of 13, and saved"
    assert same_weights(run(model, resume=result.folder).network, run(model).network)


def test_second_ctrl_c_ends_at_once(tmp_path):
    class Impatient(FakeNetwork):
        def after_step(self):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(digits_model(FULL, VAL), tmp_path, network=Impatient)


def test_ctrl_c_while_kernels_compile_leaves_no_run_folder(tmp_path):
    class Interrupted(FakeNetwork):
        def compile(self, progress=None, training=True):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(digits_model(FULL, VAL), tmp_path, network=Interrupted)
    assert not list(tmp_path.iterdir())


def test_bad_data_leaves_no_run_folder(tmp_path):
    model = digits_model(data=DataSettings(Folders(str(tmp_path / "nothing"))))
    with pytest.raises(DataError):
        run(model, tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
