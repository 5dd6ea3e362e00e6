"""The Python front, as a person at a prompt uses it."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from tiny import SPEC

import cnnspec
from cnnspec.runtime.events import Reporter


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


def test_a_run_that_begins_with_weights_says_so(net: cnnspec.Net, tmp_path: Path) -> None:
    import json

    manifests = []
    for _ in range(2):
        folder = net.train(epochs=1, out=tmp_path / "runs").folder
        assert folder is not None
        manifests.append(json.loads((folder / "manifest.json").read_text()))
    assert "initial_weights" not in manifests[0] and len(manifests[1]["initial_weights"]) == 64
    assert manifests[1]["data"]["scale"] == {"white": 16.0, "low": 0.0, "high": 16.0, "dtype": "uint8"}
    used = cnnspec.load(folder)
    assert np.array_equal(used.predict(digits()[0][:5]), net.predict(digits()[0][:5]))
    assert np.array_equal(
        cnnspec.load(folder / "best.safetensors").weights()["dense.bias"], used.weights()["dense.bias"]
    )


def test_settings_of_one_training_are_arguments(net: cnnspec.Net) -> None:
    found = net.train(epochs=3, lr=0.02, batch=64, seed=7)
    assert len(found.history) == 3 and found.history[0]["lr"] == 0.02
    assert net.train(epochs=1, learning_rate=0.02).history[0]["lr"] == 0.02
    named = {"train.epochs": 3, "train.optimizer.lr": 0.02, "train.batch": 64, "train.seed": 7}
    assert net.train(restart=True, **named).history[-1]["train.loss"] == found.history[-1]["train.loss"]
    assert net.model.train.epochs == 2  # the net keeps its own
    assert net.train(restart=True, epochs=1, optimizer="sgd", momentum=0.5, nesterov=True).history[0]["lr"] == 0.05


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"epochz": 1}, "did you mean `train.epochs`?"),
        ({"momentun": 0.5}, "did you mean `train.optimizer.momentum`?"),
        ({"lr": -1}, "`lr` of optimizer adam must be at least 0"),
        ({"epochs": "many"}, "unknown name `many`"),
        ({"batch_size": 32}, "write  batch="),
        ({"validation_data": (np.zeros(1), np.zeros(1))}, "write  validation=(x, y)"),
        ({"verbose": 1}, "write  progress=True or"),
        ({"loss": "mse"}, "changes the net, its loss or how"),
        ({"data.normalize": "mean=0.5 std=0.1"}, "how its images are read"),
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

    class Losses(Reporter):
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
    from cnnspec.runtime.data.digits import load_digits

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


def test_going_on_with_arrays_keeps_class_names_and_tells_another_scale() -> None:
    from cnnspec.runtime.trained import TrainedOn

    x, y = two_classes()
    net = cnnspec.parse(SCALED)
    net.train(x, y, epochs=1)
    net._trained = TrainedOn("pets", ("cat", "dog"), scale=net._trained.scale)
    assert len(net.train(x / 255, y, epochs=1).notes) == 1 and net.class_names == ("cat", "dog")
    told = net.train((x - x.mean()) / x.std(), y, epochs=1).notes
    assert any(note.startswith("the net was trained on float64 from 0.") for note in told)
    assert not any("made alike" in note for note in net.train(x, y, epochs=1, restart=True).notes)


def test_weights_trained_on_images_that_were_normalised_otherwise_are_told(tmp_path: Path) -> None:
    x, y = two_classes()
    net = cnnspec.parse(SCALED)
    net.train(x, y, epochs=1)
    net.save(tmp_path / "w.safetensors")
    cnnspec.parse(SCALED).load(tmp_path / "w.safetensors")  # pytest makes errors of warnings
    other = cnnspec.parse(SCALED.replace("std=0.1", "std=0.2"))
    with pytest.warns(cnnspec.DataWarning, match=r"normalised by mean=0.5 std=0.1, and the spec says mean=0.5 std=0.2"):
        other.load(tmp_path / "w.safetensors")


# ---- predict --------------------------------------------------------------------------------------
SCALED = """\
input 8x8x1
flatten -> dense 2
data {
  source npz "not-read.npz"
  normalize mean=0.5 std=0.1
}
train {
  optimizer adam lr=0.02
  epochs 8
  batch 16
}
"""


def two_classes(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Return bytes uint8[N, 8, 8, 1], darker for class 0 and lighter for class 1."""
    y = np.arange(n) % 2
    noise = np.random.default_rng(0).integers(-20, 21, (n, 8, 8, 1))
    return (np.where(y == 0, 100, 150)[:, None, None, None] + noise).astype(np.uint8), y


@pytest.mark.parametrize("trained_as", ["uint8", "int64", "floats of 0 to 1", "float16", "[N, H, W]"])
def test_the_same_pictures_get_the_same_answers_in_every_form(trained_as: str) -> None:
    x, y = two_classes()
    forms = {
        "uint8": x,
        "int64": x.astype(np.int64),
        "uint16": x.astype(np.uint16),
        "floats of 0 to 1": (x / 255).astype(np.float32),
        "float16": (x / 255).astype(np.float16),
        "float64, in another order": np.asfortranarray(x / 255),
        "[N, H, W]": x[..., 0],
        "a list": x.tolist(),
    }
    net = cnnspec.parse(SCALED)
    net.train(forms[trained_as], y)
    expected = net.predict(forms[trained_as])
    for form, array in forms.items():
        tolerance = 2e-2 if "float16" in (form, trained_as) else 1e-5
        assert np.allclose(net.predict(array), expected, atol=tolerance), form
        if form != "a list":
            assert net.evaluate(array, y).accuracy == 1, form
    for one in (x[0], x[0, :, :, 0], x[0] / 255):
        assert net.predict(one).shape == (1, 2) and np.allclose(net.predict(one), expected[:1], atol=2e-2)
    assert net.predict(x[:0]).shape == (0, 2)


@pytest.mark.parametrize(
    ("train", "ask", "mend"),
    [
        ("signed", "bytes", "make floats of them as those of the training were made"),
        ("bytes", "undivided floats", "x / 255"),
        ("bytes", "16 bits", "is white"),
        ("bytes", "standardised", "hand over pixels as in training"),
        ("standardised", "bytes", "make floats of them as those of the training were made"),
    ],
)
def test_pixels_of_another_scale_than_the_training_are_refused(train: str, ask: str, mend: str) -> None:
    x, y = two_classes()
    scaled = {
        "bytes": x,
        "signed": x / 127.5 - 1,
        "undivided floats": x.astype(np.float32),
        "16 bits": x.astype(np.uint16) * 257,
        "standardised": (x - x.mean()) / x.std(),
    }
    net = cnnspec.parse(SCALED)
    net.train(scaled[train], y, epochs=1)
    for call in (lambda: net.predict(scaled[ask]), lambda: net.evaluate(scaled[ask], y)):
        with pytest.raises(cnnspec.DataError) as caught:
            call()
        assert mend in str(caught.value)


def test_pixels_below_zero_are_told_where_the_training_had_none() -> None:
    x, y = two_classes()
    net = cnnspec.parse(SCALED)
    net.train(x, y, epochs=1)
    with pytest.warns(cnnspec.DataWarning, match=r"x is float64 from -0\.\d+ to 0\.\d+, and the training's pixels"):
        net.predict(x / 127.5 - 1)
    with pytest.warns(cnnspec.DataWarning, match=r"x \(float64 from -0.* differ in scale"):
        net.evaluate(x / 127.5 - 1, y)


def test_digits_are_known_by_their_own_scale_and_by_that_of_pictures(net: cnnspec.Net) -> None:
    """The built-in digits count to 16: bytes up to 16 are such, brighter ones and files count to 255."""
    x, y = digits()
    net.train()
    own = net.predict(x)
    assert (own.argmax(1) == y).mean() > 0.85
    assert np.allclose(net.predict(x / np.float32(16)), own, atol=1e-5)
    assert np.allclose(net.predict((x * 15.9375).astype(np.uint8)), own, atol=0.05)


def test_files_are_predicted_as_the_command_line_does(net: cnnspec.Net, tmp_path: Path) -> None:
    from PIL import Image

    x, _ = digits()
    (tmp_path / "in").mkdir()
    for i in range(3):
        Image.fromarray(x[i, :, :, 0] * np.uint8(15)).save(tmp_path / "in" / f"{i}.png")
    net.train(epochs=1)
    expected = net.predict(np.stack([x[i] * np.uint8(15) for i in range(3)]))
    files = [tmp_path / "in" / f"{i}.png" for i in range(3)]
    assert np.array_equal(net.predict(files), expected)
    assert np.array_equal(net.predict(tmp_path / "in"), expected)
    assert np.array_equal(net.predict(str(files[1])), expected[1:2])
    assert np.array_equal(net.predict(path for path in files), expected)
    assert np.array_equal(net.predict(np.array([str(path) for path in files])), expected)
    assert np.array_equal(net.predict(np.array(files, object)), expected)
    assert np.array_equal(net.predict(x[i] * np.uint8(15) for i in range(3)), expected)
    Image.fromarray(255 - x[0, :, :, 0] * np.uint8(15)).save(tmp_path / "ink.png")
    with pytest.warns(cnnspec.DataWarning, match="mostly light.*invert=True"):
        net.predict(tmp_path / "ink.png")
    assert np.array_equal(net.predict(tmp_path / "ink.png", invert=True), expected[:1])
    with pytest.raises(cnnspec.DataError, match=r"nothing\.png: the file does not exist"):
        net.predict([files[0], tmp_path / "nothing.png"])


@pytest.mark.parametrize("end", ["conv 3 3x3 -> flatten", "conv 3 3x3 -> relu -> flatten", "maxpool 2 -> flatten"])
def test_a_net_may_end_in_flatten(end: str) -> None:
    x = np.random.default_rng(0).random((3, 4, 4, 2), np.float32)
    flat = cnnspec.parse(f"input 4x4x2\n{end}\ntrain {{ loss mse }}")
    image = cnnspec.parse(f"input 4x4x2\n{end.removesuffix(' -> flatten')}\ntrain {{ loss mse }}")
    assert np.array_equal(flat.predict(x), image.predict(x).reshape(3, -1))


def test_any_number_of_images_needs_few_networks(net: cnnspec.Net) -> None:
    x = np.random.default_rng(0).random((70, 8, 8, 1), np.float32)
    whole = net.predict(x)
    for n in range(1, 70):
        assert np.array_equal(net.predict(x[:n]), whole[:n])
    assert sorted(batch for batch, _ in net._networks) == [1, 2, 4, 8, 16, 32, 64]


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


def test_training_in_python_tells_what_check_warns_of():
    text = "input 8x8x1\nflatten -> dense 10 -> sigmoid\ndata { source digits }\ntrain { epochs 1 }\n"
    notes = cnnspec.parse(text).train().notes
    assert any(note.startswith("the net ends in sigmoid") and "delete sigmoid" in note for note in notes)
    assert not cnnspec.parse(text.replace(" -> sigmoid", "")).train().notes


def test_outputs_that_are_not_finite_are_no_answer(tmp_path):
    from safetensors.numpy import load_file, save_file

    net = cnnspec.parse("input 4x4x1 -> flatten -> dense 2")
    net.save(tmp_path / "w.safetensors")
    weights = {name: value.copy() for name, value in load_file(tmp_path / "w.safetensors").items()}
    weights["dense.weight"][3, 1] = np.nan
    with pytest.raises(cnnspec.DataError, match=r"dense\.weight\[3, 1\]"):
        net.set_weights(weights)
    with pytest.raises(cnnspec.DataError, match="weights go by name"):
        net.set_weights(list(weights.values()))
    save_file(weights, tmp_path / "nan.safetensors")  # as another tool may write them
    with pytest.raises(cnnspec.DataError, match="outputs are not finite"):
        net.load(tmp_path / "nan.safetensors").predict(np.ones((2, 4, 4, 1), np.float32))
