from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
from runtime_fakes import FakeNetwork, digits_model, with_train
from training_runs import FULL, VAL, Recorder, run, same_weights, untimed

from cnnspec.errors import DataError
from cnnspec.model.model import Expect
from cnnspec.model.settings import (
    SGD,
    DataSettings,
    Digits,
    Folders,
    KeepBest,
    Normalize,
    Npz,
    Patience,
)
from cnnspec.runtime import loop
from cnnspec.runtime.data import dataset_of_arrays, open_data
from cnnspec.runtime.data.loader import batches
from cnnspec.runtime.metrics import has_stalled, is_better
from cnnspec.runtime.run_folder import open_run_folder
from cnnspec.runtime.train import train


def test_it_learns_and_writes_one_folder(tmp_path):
    recorder = Recorder()
    result = run(digits_model(FULL, VAL), tmp_path / "runs", reporter=recorder)
    assert result.status == "finished" and result.test["test.accuracy"] > 0.9
    folder = open_run_folder(result.folder)
    assert sorted(p.name for p in result.folder.iterdir()) == [
        "best.safetensors",
        "last.safetensors",
        "manifest.json",
        "metrics.jsonl",
        "spec.cnn",
    ]
    assert folder.history() == list(result.history)
    assert [row["epoch"] for row in folder.history()] == [1, 2, 3, 4]
    assert folder.manifest["result"]["test.accuracy"] == result.test["test.accuracy"]
    assert recorder.events == [
        ("start", 1, 0),
        ("compile", 1, 1),
        *(("epoch", e) for e in (1, 2, 3, 4)),
        ("end", "finished"),
    ]
    assert recorder.steps[-1][:4] == (4, 13, 13, 1295)  # the short last batch is there
    assert recorder.steps[-1][4] == result.history[-1]["train.loss"]


def test_every_sample_once_an_epoch_in_another_order_each_time():
    network = run(digits_model(FULL, VAL)).network
    epochs = [np.concatenate([ids for e, _, ids in network.calls if e == epoch]) for epoch in (1, 2, 3, 4)]
    assert all(sorted(ids) == list(range(1295)) for ids in epochs)
    assert not (epochs[0] == epochs[1]).all()
    assert [len(ids) for e, _, ids in network.calls if e == 1] == [100] * 12 + [95]


def test_the_metrics_of_an_epoch_are_means_over_its_samples():
    seen: list[tuple[int, float, int, int]] = []

    class Watched(FakeNetwork):
        def train_step(self, x, target, *, lr, draw):
            result = super().train_step(x, target, lr=lr, draw=draw)
            seen.append((draw.epoch, result.loss, result.correct, len(x)))
            return result

    for row in run(digits_model(FULL, VAL), network=Watched).history:
        mine = [s[1:] for s in seen if s[0] == row["epoch"]]
        assert row["train.loss"] == pytest.approx(sum(loss * n for loss, _, n in mine) / 1295)
        assert row["train.accuracy"] == sum(correct for _, correct, _ in mine) / 1295


def test_same_seed_same_weights_other_seed_other_weights():
    model = digits_model(FULL, VAL)
    first, again = run(model), run(model)
    other = run(with_train(model, seed=2))
    assert same_weights(first.network, again.network) and untimed(first.history) == untimed(again.history)
    assert not same_weights(first.network, other.network)


@pytest.mark.parametrize("steps", [1, 7, 13, 14, 26, 51, 52])
def test_stopped_and_resumed_equals_left_alone(tmp_path, steps):
    model = digits_model(FULL, VAL)
    alone = run(model, tmp_path / "alone")
    stopped = run(model, tmp_path / "stopped", stop_after_steps=steps)
    assert stopped.status == "interrupted" and stopped.test == {}
    resumed = run(model, resume=stopped.folder)
    assert resumed.folder == stopped.folder
    assert same_weights(alone.network, resumed.network)
    assert untimed(resumed.history) == untimed(alone.history)
    assert resumed.best == alone.best and resumed.test == alone.test
    assert untimed(open_run_folder(resumed.folder).history()) == untimed(alone.history)


class Killed(BaseException):
    pass


def test_killed_without_a_word_and_resumed_equals_left_alone(tmp_path):
    """Killed twice: the run goes on from the checkpoint inside the epoch and repeats the steps after it."""
    model = digits_model(FULL, VAL)
    alone = run(model, tmp_path / "alone")

    class Dies(FakeNetwork):
        def after_step(self):
            if len(self.calls) == 17:
                raise Killed

    with pytest.raises(Killed):
        run(model, tmp_path / "killed", network=Dies, checkpoint_seconds=0.0)
    folder = next((tmp_path / "killed").iterdir())
    with pytest.raises(Killed):
        train(model, resume=folder, make_network=Dies, checkpoint_seconds=1e9)
    resumed = run(model, resume=folder / "last.safetensors")
    assert same_weights(alone.network, resumed.network)
    assert untimed(resumed.history) == untimed(alone.history)
    assert len(resumed.network.calls) == 52 - 26  # from the start of epoch 3, where it was saved last


def test_a_row_written_after_the_checkpoint_was_lost_is_not_kept_twice(tmp_path):
    model = digits_model(FULL, VAL)
    stopped = run(model, tmp_path, stop_after_steps=14)
    folder = open_run_folder(stopped.folder)
    folder.add_row({"epoch": 2, "train.loss": 9.0})
    resumed = run(model, resume=stopped.folder)
    assert [row["epoch"] for row in open_run_folder(resumed.folder).history()] == [1, 2, 3, 4]


def test_a_finished_run_resumes_to_the_same_result(tmp_path):
    model = digits_model(FULL, VAL)
    first = run(model, tmp_path)
    again = run(model, resume=first.folder)
    assert again.network.calls == [] and again.test == first.test and again.history == first.history


def test_more_epochs_may_be_asked_for(tmp_path):
    model = digits_model(with_train(digits_model(), epochs=1).train)
    first = run(model, tmp_path)
    recorder = Recorder()
    more = run(with_train(model, epochs=2), resume=first.folder, reporter=recorder)
    assert [row["epoch"] for row in more.history] == [1, 2]
    assert "train epochs was 1 and is now 2" in recorder.notes


@pytest.mark.parametrize(
    ("changes", "field", "expected", "found"),
    [
        ({"batch": 32}, "train: batch", "100", "32"),
        ({"seed": 5}, "train: seed", "1", "5"),
        ({"optimizer": SGD(lr=0.1, momentum=0.9)}, "train: optimizer.lr", "0.5", "0.1"),
    ],
)
def test_resume_refuses_other_settings(tmp_path, changes, field, expected, found):
    model = digits_model(FULL, VAL)
    stopped = run(model, tmp_path, stop_after_steps=2)
    with pytest.raises(DataError) as caught:
        run(with_train(model, **changes), resume=stopped.folder)
    assert (caught.value.field, caught.value.expected, caught.value.found) == (field, expected, found)


def test_resume_refuses_other_data_and_bare_weights(tmp_path):
    model = digits_model(FULL, VAL)
    stopped = run(model, tmp_path, stop_after_steps=20)
    with pytest.raises(DataError, match="weights only") as caught:
        run(model, resume=stopped.folder / "best.safetensors")
    assert "last.safetensors" in caught.value.hint
    data = open_data(VAL, (8, 8, 1), 10)
    with pytest.raises(DataError, match="data has changed"):
        run(model, resume=stopped.folder, data=dataclasses.replace(data, fingerprint="other"))


def test_keep_best_tests_the_best_epoch(tmp_path):
    """A rate that explodes late: the last epoch is worse than the best, and the best is what is tested."""

    class Spoiled(FakeNetwork):
        def after_step(self):
            if self.calls[-1][0] == 3:
                self.weights = {k: np.zeros_like(v) for k, v in self.weights.items()}

    model = digits_model(dataclasses.replace(FULL, epochs=3), VAL)
    kept = run(model, tmp_path, network=Spoiled)
    in_memory = run(model, network=Spoiled)
    assert kept.best["epoch"] == 2 and kept.best["metric"] == "val.accuracy"
    assert kept.test["test.accuracy"] > 0.8 > kept.history[-1]["val.accuracy"]
    assert in_memory.test == kept.test and in_memory.folder is None


def test_early_stop(tmp_path):
    class Frozen(FakeNetwork):
        def after_step(self):
            if self.calls[-1][0] > 2:
                self.weights = {k: np.zeros_like(v) for k, v in self.weights.items()}

    settings = dataclasses.replace(FULL, epochs=50, stop=Patience(3), keep=None)
    model = digits_model(settings, VAL)
    result = run(model, tmp_path, network=Frozen)
    assert result.status == "early_stop" and len(result.history) == 5
    assert len(run(model, resume=result.folder, network=Frozen).history) == 5


def test_patience_counts_epochs_without_improvement():
    rows = [{"val.loss": v} for v in (1.0, 0.5, 0.6, 0.5)]
    assert [has_stalled(rows[:n], Patience(2)) for n in range(5)] == [False, False, False, False, True]
    assert not has_stalled(rows, None)
    assert is_better("val.loss", 1, 2) and not is_better("val.accuracy", 1, 2) and is_better("val.loss", 9, None)


@pytest.mark.parametrize("changes", [{"keep": KeepBest()}, {"stop": Patience(2)}])
def test_a_metric_of_validation_needs_a_validation_split(changes):
    with pytest.raises(DataError, match="no validation split") as caught:
        run(with_train(digits_model(), **changes))
    assert caught.value.hint == "data { split val=10% }" and "on=val." in caught.value.field


@pytest.mark.parametrize(
    ("source", "other"), [(Folders("pictures"), "a folder  val  beside  train"), (Npz("a.npz"), "x_val")]
)
def test_where_the_data_may_have_a_validation_set_of_its_own_the_error_says_so(source, other):
    model = with_train(digits_model(), keep=KeepBest())
    model = dataclasses.replace(model, data=DataSettings(source))
    with pytest.raises(DataError, match="no validation split") as caught:
        train(model, data=open_data(DataSettings(Digits()), (8, 8, 1), 10), out=None, make_network=FakeNetwork)
    assert other in caught.value.hint


def test_arrays_come_to_a_validation_set_as_an_argument():
    model = dataclasses.replace(with_train(digits_model(), keep=KeepBest()), data=None)
    data = open_data(DataSettings(Digits()), (8, 8, 1), 10)
    with pytest.raises(DataError, match="no validation split") as caught:
        train(model, data=data, out=None, make_network=FakeNetwork)
    assert caught.value.hint.startswith("net.train(x, y, validation=(x_val, y_val))")


def test_expect_lines_are_judged_by_the_weights_that_are_kept(tmp_path):
    model = digits_model(FULL, VAL)
    span = model.layers[0].span
    lines = (
        Expect("test.accuracy", ">=", 0.9, span),
        Expect("val.accuracy", ">", 1.0, span),
        Expect("params", "==", 1.0, span),  # known before training, and judged there
    )
    result = run(dataclasses.replace(model, expects=lines), tmp_path)
    assert not result.ok and len(result.unmet) == 1
    message = result.unmet[0].message
    assert "val.accuracy" in message and f"found {100 * result.best['value']:.2f} %" in message


def test_metrics_are_json_lines(tmp_path):
    result = run(digits_model(FULL, VAL), tmp_path)
    rows = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    assert rows[0].keys() == {
        "epoch", "lr", "train.loss", "train.accuracy", "val.loss", "val.accuracy", "seconds", "waiting",
    }  # fmt: skip
    assert all(0 <= row["waiting"] <= 1 for row in rows)


def test_the_share_that_waits_is_that_of_the_clock(tmp_path, monkeypatch):
    """Three of four seconds: also where the run was stopped within an epoch, and saving takes its time."""
    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now

    def slowly(*args):
        for batch in batches(*args):
            clock.now += 3
            yield batch

    class Network(FakeNetwork):
        def train_step(self, *args, **more):
            clock.now += 1
            return super().train_step(*args, **more)

        def optimizer_state(self):
            clock.now += 100 * self.compiled
            return super().optimizer_state()

    monkeypatch.setattr(loop, "time", clock)
    monkeypatch.setattr(loop, "batches", slowly)
    model = digits_model(FULL, VAL)
    recorder = Recorder()
    first = run(model, tmp_path, network=Network, stop_after_steps=7, checkpoint_seconds=1000, reporter=recorder)
    assert recorder.steps[-1][-2:] == (28.0, 0.75)
    result = run(model, network=Network, resume=first.folder, checkpoint_seconds=1000)
    assert [row["waiting"] for row in result.history] == [0.75] * len(result.history)


def test_every_note_is_in_the_result_and_a_stretched_cosine_is_told(tmp_path):
    model = digits_model(FULL, VAL)
    first = run(model, tmp_path)
    recorder = Recorder()
    more = run(with_train(model, epochs=8), resume=first.folder, reporter=recorder)
    assert more.notes == tuple(recorder.notes) and recorder.events[0][0] == "start"
    assert "train epochs was 4 and is now 8" in more.notes
    assert [n for n in more.notes if n.startswith("the learning rate rises at once from") and "epoch 8" in n]


def test_what_a_manifest_holds_is_json_though_the_test_loss_is_not_finite(tmp_path):
    class Overflows(FakeNetwork):
        tried = False

        def eval_step(self, x, target, *, outputs=False):
            found = super().eval_step(x, target)
            before, self.tried = self.tried, True  # the weights are tried before they are kept
            return dataclasses.replace(found, loss=float("nan")) if before else found

    result = run(digits_model(dataclasses.replace(FULL, keep=None, epochs=1)), tmp_path, network=Overflows)
    text = (result.folder / "manifest.json").read_text()
    assert json.loads(text, parse_constant=lambda word: pytest.fail(word))["result"]["test.loss"] is None


@pytest.mark.parametrize("normalize", [None, Normalize((127.0,), (64.0,))])
def test_inputs_of_another_scale_are_told_once(normalize):
    """Numbers of 0 to 255 that are no images are told by the data; what normalize makes of them, by the training."""
    x = np.random.default_rng(0).random((40, 8, 8, 1), dtype=np.float32) * (255 if normalize is None else 1)
    data = dataset_of_arrays(x, np.arange(40) % 10, input_shape=(8, 8, 1), classes=10, normalize=normalize)
    model = digits_model(with_train(digits_model(), epochs=1).train, DataSettings(Digits(), normalize=normalize))
    scale = [n for n in run(model, data=data).notes if "net as it is" in n or "should be near 0 and 1" in n]
    assert len(scale) == 1 and ("as it is" in scale[0]) == (normalize is None)
