"""The Python front, as a person at a prompt uses it."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from tiny import SPEC

import cnnspec
from cnnspec.runtime.events import Silent


@pytest.fixture
def net() -> cnnspec.Net:
    return cnnspec.parse(SPEC.replace("dense classes", "dense 10"))


# ---- train ----------------------------------------------------------------------------------------
def test_training_again_goes_on_from_the_weights_of_the_net(net: cnnspec.Net) -> None:
    first = net.train(epochs=1)
    second = net.train(epochs=1)
    assert second.history[0]["train.loss"] < 0.8 * first.history[0]["train.loss"]
    assert any("restart=True" in note for note in second.notes) and not first.notes
    anew = net.train(epochs=1, restart=True)
    assert anew.history[0]["train.loss"] == first.history[0]["train.loss"] and not anew.notes


def test_training_goes_on_from_weights_that_were_loaded_or_set(net: cnnspec.Net, tmp_path: Path) -> None:
    net.train(epochs=1)
    net.save(tmp_path / "w.safetensors")
    expected = net.train(epochs=1).history[0]["train.loss"]
    other = cnnspec.parse(SPEC.replace("dense classes", "dense 10"))
    assert other.load(tmp_path / "w.safetensors").train(epochs=1).history[0]["train.loss"] == expected
    taken = cnnspec.parse(SPEC.replace("dense classes", "dense 10")).load(tmp_path / "w.safetensors").weights()
    assert other.set_weights(taken).train(epochs=1).history[0]["train.loss"] == expected


def test_settings_of_one_training_are_arguments(net: cnnspec.Net) -> None:
    found = net.train(epochs=3, lr=0.02, batch=64, seed=7)
    assert len(found.history) == 3 and found.history[0]["lr"] == 0.02
    named = {"train.epochs": 3, "train.optimizer.lr": 0.02, "train.batch": 64, "train.seed": 7}
    assert net.train(restart=True, **named).history[-1]["train.loss"] == found.history[-1]["train.loss"]
    assert net.model.train.epochs == 2  # the net keeps its own
    assert net.train(restart=True, epochs=1, optimizer="sgd", momentum=0.5, nesterov=True).history[0]["lr"] == 0.05


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochz": 1}, "did you mean epochs?"),
        ({"lr": -1}, "`lr` of optimizer adam must be at least 0"),
        ({"epochs": "many"}, "unknown name `many`"),
        ({"loss": "mse"}, "changes the net or its loss"),
        ({"train.epoch": 1}, "did you mean `train.epochs`?"),
    ],
)
def test_settings_are_judged_as_those_of_a_spec(net: cnnspec.Net, settings: dict[str, object], words: str) -> None:
    with pytest.raises((cnnspec.SpecError, cnnspec.DataError)) as caught:
        net.train(**settings)
    assert words in str(caught.value)


def test_progress_is_shown_where_it_is_asked_for(net: cnnspec.Net, capsys: pytest.CaptureFixture[str]) -> None:
    net.train(epochs=1)
    net.train(epochs=1, progress=False)
    assert capsys.readouterr() == ("", "")  # no terminal, no notebook
    net.train(epochs=1, progress=True)
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "<text>: 1,370 weights to learn, 1 epoch of 41 steps"
    assert out[-1].split()[0] == "1/1"
    told: list[float] = []

    class Losses(Silent):
        def on_epoch(self, row: dict[str, float]) -> None:  # type: ignore[override]
            told.append(row["train.loss"])

    net.train(epochs=2, reporter=Losses(), progress=True)
    assert len(told) == 2 and capsys.readouterr() == ("", "")


def test_a_cell_of_a_notebook_gets_whole_lines(
    net: cnnspec.Net, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    net.train(epochs=1)
    out = capsys.readouterr().out
    assert "1/1" in out and "\r" not in out and "\x1b" not in out


# ---- evaluate -------------------------------------------------------------------------------------
def test_evaluation_counts_the_confusion_and_lists_the_mistakes(net: cnnspec.Net) -> None:
    net.train(epochs=1)
    found = net.evaluate()
    assert found.confusion is not None and found.confusion.sum() == found.images == 359
    assert found.confusion.trace() == round(found.accuracy * 359) == 359 - len(found.mistakes)
    assert found.class_names == net.class_names == tuple("0123456789")
    x, y = digits()
    worst = found.mistakes[0]
    answer = net.predict(x[worst.sample] / np.float32(16))[0]
    assert y[worst.sample] == worst.true and answer.argmax() == worst.predicted
    assert answer.max() == pytest.approx(worst.probability, rel=1e-5)
    assert [m.probability for m in found.mistakes] == sorted((m.probability for m in found.mistakes), reverse=True)


def test_a_split_that_is_not_there_is_told_with_those_that_are() -> None:
    whole = cnnspec.parse("input 8x8x1\nflatten -> dense 10\ndata { source digits }")
    for split in ("val", "classes"):
        with pytest.raises(cnnspec.DataError, match=f"no {split} split\n  expected: test or train"):
            whole.evaluate(split=split)


# ---- weights --------------------------------------------------------------------------------------
def digits() -> tuple[np.ndarray, np.ndarray]:
    from cnnspec.runtime.data import load_digits

    return load_digits()


def test_weights_are_copies_that_refuse_to_be_changed(net: cnnspec.Net) -> None:
    weights = net.weights()
    with pytest.raises(ValueError, match="read-only"):
        weights["dense.bias"][0] = 1
    assert net.set_weights({name: w * 0 for name, w in weights.items()}) is net
    assert not any(w.any() for w in net.weights().values())
    assert np.allclose(net.predict(np.ones((1, 8, 8, 1), np.float32)), 0.1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop("dense.bias"), "dense.bias: a parameter is missing"),
        (lambda w: w.update(extra=np.zeros(1, np.float32)), "extra: there is a parameter that the spec does not have"),
        (lambda w: w.update({"dense.bias": np.zeros(3, np.float32)}), "dense.bias: a parameter has another shape"),
        (lambda w: w.update({"dense.bias": np.array(["a"] * 10)}), "dense.bias: a parameter has the wrong dtype"),
    ],
)
def test_weights_that_do_not_fit_leave_the_net_as_it_is(net: cnnspec.Net, change: object, words: str) -> None:
    before = net.weights()
    wrong = dict(before)
    change(wrong)  # type: ignore[operator]
    with pytest.raises(cnnspec.DataError, match=words):
        net.set_weights(wrong)
    assert all(np.array_equal(before[name], w) for name, w in net.weights().items())


def test_class_names_travel_with_the_weights(tmp_path: Path) -> None:
    net = cnnspec.parse("input 2x2x1\nflatten -> dense 2")
    assert net.class_names == ("0", "1")
    assert cnnspec.parse("input 2x2x1\nflatten -> dense 2\ntrain { loss mse }").class_names == ()
    from cnnspec.runtime.trained import TrainedOn

    net._trained = TrainedOn("pets", ("cat", "dog"))
    net.save(tmp_path / "pets.safetensors")
    other = cnnspec.parse("input 2x2x1\nflatten -> dense 2").load(tmp_path / "pets.safetensors")
    assert other.class_names == ("cat", "dog")


# ---- predict --------------------------------------------------------------------------------------
@pytest.mark.parametrize("end", ["conv 3 3x3 -> flatten", "conv 3 3x3 -> relu -> flatten", "maxpool 2 -> flatten"])
def test_a_net_may_end_in_flatten(end: str) -> None:
    x = np.random.default_rng(0).random((3, 4, 4, 2), np.float32)
    flat = cnnspec.parse(f"input 4x4x2\n{end}\ntrain {{ loss mse }}")
    image = cnnspec.parse(f"input 4x4x2\n{end.removesuffix(' -> flatten')}\ntrain {{ loss mse }}")
    assert np.array_equal(flat.predict(x), image.predict(x).reshape(3, -1))


def test_threads_that_ask_a_fresh_net_get_their_own_answers(net: cnnspec.Net) -> None:
    xs = np.random.default_rng(0).random((8, 5, 8, 8, 1), np.float32)
    expected = cnnspec.parse(SPEC.replace("dense classes", "dense 10"))
    answers: dict[int, np.ndarray] = {}
    together = threading.Barrier(8)

    def ask(i: int) -> None:
        together.wait()
        answers[i] = net.predict(xs[i])

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(answers[i], expected.predict(xs[i])) for i in range(8))
    assert len(net._networks) == 1
