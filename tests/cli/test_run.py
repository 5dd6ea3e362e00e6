"""eval, predict: what a trained run is for."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny import SPEC

Run = Callable[..., Any]


# ---- eval -----------------------------------------------------------------------------------------
def test_eval_measures_and_judges(cli: Run, room: Path) -> None:
    result = cli("eval", "run", "--confusion")
    assert (result.code, result.err) == (0, "")
    assert re.search(r"^test accuracy  \d\d\.\d\d %$", result.out, re.MULTILINE)
    assert "ok     expect test.accuracy" in result.out
    matrix = [line.split() for line in result.out.splitlines() if re.match(r"\d  ", line)]
    assert len(matrix) == 10
    counted = sum(int(n) for row in matrix for n in row[1:11] if n != ".")
    assert counted == 359


def test_eval_json_agrees_with_what_training_found(cli: Run, room: Path) -> None:
    found = json.loads(cli("eval", "run", "--json").out)
    kept = json.loads((room / "run" / "manifest.json").read_text())["result"]
    assert found["accuracy"] == pytest.approx(kept["test.accuracy"])
    assert found["loss"] == pytest.approx(kept["test.loss"], rel=1e-5)
    confusion = np.array(found["confusion"])
    assert confusion.trace() / confusion.sum() == pytest.approx(found["accuracy"])
    assert json.loads(cli("eval", "run", "--split", "val", "--json").out)["images"] == 143


def test_eval_of_a_spec_takes_weights(cli: Run, room: Path) -> None:
    by_run = json.loads(cli("eval", "run", "--json").out)
    named = json.loads(cli("eval", "net.cnn", "--weights", "run/best.safetensors", "--json").out)
    file = json.loads(cli("eval", "run/best.safetensors", "--json").out)
    assert by_run["loss"] == named["loss"] == file["loss"]
    result = cli("eval", "net.cnn")
    assert result.code == 2
    assert "a spec alone has no weights" in result.err


def test_eval_without_such_a_split(cli: Run, room: Path) -> None:
    text = SPEC.replace("  split val=10%\n", "").replace("  keep best on=val.accuracy\n", "")
    (room / "unsplit.cnn").write_text(text)
    result = cli("eval", "unsplit.cnn", "--weights", "run/best.safetensors", "--split", "val")
    assert result.code == 1
    assert "no val split" in result.err
    assert "expected: test or train" in result.err
    assert "fix: --split test" in result.err


def test_eval_with_weights_cut_short_or_of_another_spec(cli: Run, room: Path) -> None:
    whole = (room / "run" / "last.safetensors").read_bytes()
    (room / "short.safetensors").write_bytes(whole[:300])
    result = cli("eval", "net.cnn", "--weights", "short.safetensors")
    assert result.code == 1
    assert "short.safetensors" in result.err
    (room / "other.cnn").write_text(SPEC.replace("conv 8", "conv 9"))
    result = cli("eval", "other.cnn", "--weights", "run/last.safetensors")
    assert result.code == 1
    assert "run/last.safetensors: layer conv: the checkpoint belongs to another spec than other.cnn" in result.err
    assert re.search(r"expected: conv: .*=9 .*\n  found:    conv: .*=8 ", result.err)


def test_eval_says_which_weights_it_uses(cli: Run, room: Path) -> None:
    assert re.search(
        r"^weights        best.safetensors \(best epoch, [12]: val.accuracy \d\d\.\d\d %\)$",
        cli("eval", "run").out,
        re.MULTILINE,
    )
    assert "weights        last.safetensors (last epoch, 2)\n" in cli("eval", "run/last.safetensors").out
    used = json.loads(cli("eval", "run", "--json").out)["weights"]
    kept = json.loads((room / "run" / "manifest.json").read_text())["result"]["best"]
    assert used == {"file": "run/best.safetensors", "kind": "best", "epoch": kept["epoch"]}
    import cnnspec

    cnnspec.load("run").save("mine.safetensors")
    assert "weights        mine.safetensors\n" in cli("eval", "net.cnn", "--weights", "mine.safetensors").out


def test_eval_lists_mistakes(cli: Run, room: Path) -> None:
    found = json.loads(cli("eval", "run", "--json", "--mistakes").out)
    wrong = found["mistakes"]
    assert len(wrong) == round((1 - found["accuracy"]) * 359) > 0
    assert all(m["true"] != m["predicted"] and m["file"] is None for m in wrong)
    lines = cli("eval", "run", "--mistakes").out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("sample"))
    first = f"sample {wrong[0]['sample']} {wrong[0]['true']} {wrong[0]['predicted']}"
    assert " ".join(lines[start + 2].split()).startswith(first)
    assert not any(line.startswith("true \\ predicted") for line in lines)  # asked for by --confusion
    assert "mistakes" not in json.loads(cli("eval", "run", "--json").out)


PETS = """\
input 4x4x1
flatten -> dense 2
data { source folders "pets" }
train {
  optimizer adam lr=0.05
  epochs 40
  batch 8
}
"""


@pytest.fixture
def pets(cli: Run, tmp_path: Path) -> Path:
    """Train on 20 pictures, pets/cat dark ones and pets/dog light ones, and return the run's folder."""
    for name, value in (("cat", 20), ("dog", 230)):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(10):
            Image.new("L", (4, 4), value + i).save(tmp_path / "pets" / name / f"{i}.png")
    (tmp_path / "net.cnn").write_text(PETS)
    assert cli("train", "net.cnn", "--quiet").code == 0
    [made] = (tmp_path / "runs").iterdir()
    return made


def test_eval_refuses_classes_of_other_names(cli: Run, tmp_path: Path, pets: Path) -> None:
    result = cli("eval", pets)
    assert result.code == 0 and "test accuracy  100.00 %" in result.out
    assert "changed" not in result.err
    (tmp_path / "pets" / "cat").rename(tmp_path / "pets" / "zebra")
    result = cli("eval", pets)
    assert result.code == 1 and result.out == ""
    assert "pets: class names: the classes of the data are not those that the net was trained on" in result.err
    assert "  expected: cat, dog\n  found:    dog, zebra\n" in result.err
    alone = cli("eval", "net.cnn", "--weights", pets / "last.safetensors")
    assert alone.code == 1 and "expected: cat, dog" in alone.err  # the weights know as well as the run


def test_eval_of_data_that_has_changed_says_so(cli: Run, tmp_path: Path, pets: Path) -> None:
    Image.new("L", (4, 4), 225).save(tmp_path / "pets" / "dog" / "new.png")
    result = cli("eval", pets)
    assert result.code == 0 and "accuracy" in result.out
    assert "note: pets has changed since the net was trained on it" in result.err


def test_eval_lists_the_files_of_mistakes(cli: Run, tmp_path: Path, pets: Path) -> None:
    import shutil

    shutil.copy(tmp_path / "pets" / "cat" / "0.png", tmp_path / "pets" / "dog" / "looks-like-a-cat.png")
    for split in ("train", "test"):
        found = json.loads(cli("eval", pets, "--json", "--mistakes", "--split", split).out)["mistakes"]
        for mistake in found:
            assert mistake["file"].endswith("pets/dog/looks-like-a-cat.png")
            assert (mistake["true"], mistake["predicted"]) == ("dog", "cat") and mistake["probability"] > 0.5
            assert "looks-like-a-cat.png" in cli("eval", pets, "--mistakes", "--split", split).out
            return
    raise AssertionError("a picture of a cat among the dogs is taken for a dog")


def test_names_of_mistaken_files_can_be_read_in_a_narrow_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    from cnnspec.cli.eval import print_mistakes
    from cnnspec.runtime.evaluate import Mistake

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    name = "photos/a_rather_long_name_of_a_class/picture-00017-of-the-summer.png"
    print_mistakes([Mistake(0, tmp_path / name, 0, 1, 0.75)], ("a_rather_long_name_of_a_class", "rose"))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [name, "    a_rather_long_name_of_a_class taken for rose, 75.00 %"]
    monkeypatch.setenv("COLUMNS", "200")
    print_mistakes([Mistake(0, tmp_path / name, 0, 1, 0.75)], ("a_rather_long_name_of_a_class", "rose"))
    assert f"{name}  a_rather_long_name_of_a_class  rose           75.00 %" in capsys.readouterr().out


def test_no_mistakes_of_targets_that_are_numbers(cli: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x_train=np.ones((8, 4, 4, 1), np.float32), y_train=np.zeros((8, 2), np.float32))
    (tmp_path / "net.cnn").write_text(REGRESSION.replace("epochs 60", "epochs 1"))
    cli("train", "net.cnn", "--quiet")
    [made] = (tmp_path / "runs").iterdir()
    result = cli("eval", made, "--split", "train", "--mistakes")
    assert result.code == 2 and "targets of this data are numbers" in result.err


REGRESSION = """\
input 4x4x1
flatten -> dense 2
data { source npz "d.npz" }
train {
  loss mse
  optimizer sgd lr=0.1
  epochs 60
  batch 16
}
"""


def test_targets_that_are_numbers_train_evaluate_and_predict(cli: Run, tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((64, 4, 4, 1)).astype(np.float32)
    targets = np.stack([x.mean((1, 2, 3)) - 7, 3 + x[:, 0, 0, 0]], 1)
    np.savez(tmp_path / "d.npz", x_train=x, y_train=targets)
    (tmp_path / "net.cnn").write_text(REGRESSION)
    result = cli("train", "net.cnn")
    assert (result.code, result.err) == (0, "")
    assert "d: 64 training images, targets of 2 numbers" in result.out
    [made] = (tmp_path / "runs").iterdir()
    assert result.out.splitlines()[-1] == f"      cnnspec eval runs/{made.name} --split train"
    found = json.loads(cli("eval", f"runs/{made.name}", "--split", "train", "--json").out)
    assert found["loss"] < 0.3
    assert found["accuracy"] is None
    Image.new("L", (4, 4), 128).save(tmp_path / "grey.png")
    [answer] = json.loads(cli("predict", f"runs/{made.name}", "grey.png", "--json").out)
    assert answer["output"] == pytest.approx([-6.5, 3.5], abs=0.5)
    assert "%" not in cli("predict", f"runs/{made.name}", "grey.png").out


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("loss mse", "loss cross_entropy", "takes class numbers, not targets of floats"),
        ("dense 2", "dense 3", "expected: 2 outputs\n  found:    3\n  fix: end the net in  dense 2"),
    ],
)
def test_targets_that_are_numbers_fit_the_net(cli: Run, tmp_path: Path, old: str, new: str, words: str) -> None:
    np.savez(tmp_path / "d.npz", x_train=np.zeros((8, 4, 4, 1), np.float32), y_train=np.zeros((8, 2), np.float32))
    (tmp_path / "net.cnn").write_text(REGRESSION.replace(old, new))
    result = cli("train", "net.cnn")
    assert result.code == 1
    assert words in result.err


# ---- predict --------------------------------------------------------------------------------------
@pytest.fixture
def pictures(room: Path) -> list[int]:
    """Write ten test digits as 40x40 PNG files, pictures/0.png ..., and return their labels."""
    from cnnspec.runtime.data.digits import load_digits

    x, y = load_digits()
    (room / "pictures").mkdir()
    for i in range(10):
        image = Image.fromarray((x[i, :, :, 0] * 15.9).astype(np.uint8))
        image.resize((40, 40), Image.Resampling.NEAREST).save(room / "pictures" / f"{i}.png")
    return [int(n) for n in y[:10]]


def test_predict_shows_bars_for_few_images(cli: Run, room: Path, pictures: list[int]) -> None:
    result = cli("predict", "run", "pictures/0.png", "--top", "2")
    assert result.code == 0
    told = result.err.splitlines()[-1]  # lines on kernels stand above it where they are compiled first
    assert re.fullmatch(r"note: weights used: best.safetensors \(best epoch, [12]: val.accuracy \S+ %\)", told)
    lines = result.out.splitlines()
    assert lines[0] == "pictures/0.png"
    assert re.fullmatch(r"  0  ━+ +\d+\.\d\d %", lines[1])
    assert len(lines) == 3
    assert max(map(len, lines)) <= 80


def test_predict_of_a_folder_is_right_about_most_and_the_same_with_any_batch(
    cli: Run, room: Path, pictures: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cnnspec.runtime import answers

    first = json.loads(cli("predict", "run", "pictures", "--json").out)
    assert first[0]["weights"]["kind"] == "best"
    assert [Path(r["file"]).name for r in first] == [f"{i}.png" for i in range(10)]
    right = sum(r["top"][0]["class"] == str(label) for r, label in zip(first, pictures, strict=True))
    assert right >= 7
    monkeypatch.setattr(answers, "BATCH", 3)
    second = json.loads(cli("predict", "run", "pictures", "--json").out)
    for a, b in zip(first, second, strict=True):
        assert a["top"][0]["probability"] == pytest.approx(b["top"][0]["probability"], rel=1e-4)


def test_predict_goes_on_past_an_image_that_cannot_be_read(cli: Run, room: Path, pictures: list[int]) -> None:
    (room / "pictures" / "5.png").write_text("no image")
    result = cli("predict", "run", "pictures")
    assert result.code == 1
    assert "pictures/5.png: cannot be read as an image" in result.err
    assert len(result.out.splitlines()) == 9
    result = cli("predict", "run", "pictures", "--json")
    found = json.loads(result.out)
    assert result.code == 1 and [Path(r["file"]).name for r in found] == [f"{i}.png" for i in range(10)]
    assert [i for i, r in enumerate(found) if "error" in r] == [5]
    assert found[5]["error"].startswith("cannot be read as an image") and "top" not in found[5]


def test_predict_invert_is_for_ink_on_paper(cli: Run, room: Path, pictures: list[int]) -> None:
    for i in range(10):
        file = room / "pictures" / f"{i}.png"
        Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
    plain = cli("predict", "run", "pictures", "--top", "1").out
    found = json.loads(cli("predict", "run", "pictures", "--invert", "--json").out)
    assert sum(r["top"][0]["class"] == str(n) for r, n in zip(found, pictures, strict=True)) >= 7
    assert plain


def test_predict_hints_at_invert_where_it_would_help(cli: Run, room: Path, pictures: list[int]) -> None:
    from PIL import ImageOps

    assert "--invert" not in cli("predict", "run", "pictures").err
    for i in (3, 5):
        ImageOps.invert(Image.open(f"pictures/{i}.png")).save(f"pictures/{i}.png")
    hint = "mostly light, and those of the training were mostly dark: --invert turns light and dark around\n"
    assert f"note: the image is {hint}" in cli("predict", "run", "pictures/3.png").err
    assert f"note: 2 of 10 images are {hint}" in cli("predict", "run", "pictures", "--json").err
    assert "note:" not in cli("predict", "run", "pictures/3.png", "--invert", "--json").err
    assert "leave --invert out" in cli("predict", "run", "pictures/0.png", "--invert").err


def test_predict_knows_the_scale_of_the_training(cli: Run, tmp_path: Path) -> None:
    """Floats from -1 to 1 were trained on: how bytes become such floats is not for us to guess."""
    y = np.arange(40) % 2
    bytes_ = np.where(y[:, None, None] == 0, 40, 200) + np.random.default_rng(0).integers(-39, 40, (40, 4, 4))
    Image.fromarray(bytes_[1].astype(np.uint8)).save(tmp_path / "light.png")
    spec = PETS.replace('folders "pets"', 'npz "d.npz"')
    for scaled, right in ((bytes_ / 127.5 - 1, False), (bytes_ / 255, True), (bytes_.astype(np.uint8), True)):
        np.savez(tmp_path / "d.npz", x_train=scaled, y_train=y)
        (tmp_path / "net.cnn").write_text(spec)
        cli("train", "net.cnn", "--quiet", "--out", f"out-{scaled.dtype}-{right}")
        [made] = (tmp_path / f"out-{scaled.dtype}-{right}").iterdir()
        for weights in ([], ["--weights", made / "last.safetensors"]):
            result = cli("predict", "net.cnn" if weights else made, "light.png", "--json", *weights)
            if right:
                assert json.loads(result.out)[0]["top"][0]["class"] == "1"
                continue
            assert result.code == 1 and result.out == ""
            assert "light.png: the pixels are on another scale than those of the training set" in result.err
            assert "float64 from -0.99" in result.err and "normalize mean=0.5 std=0.5" in result.err


def test_targets_of_a_net_for_numbers_are_no_probabilities(cli: Run, tmp_path: Path) -> None:
    """Class labels under ``loss mse`` become one-hot targets; the outputs are printed as they are."""
    x = np.zeros((8, 4, 4, 1), np.uint8)
    np.savez(tmp_path / "d.npz", x_train=x, y_train=np.arange(8) % 2)
    (tmp_path / "net.cnn").write_text(REGRESSION.replace("epochs 60", "epochs 1"))
    cli("train", "net.cnn", "--quiet")
    [made] = (tmp_path / "runs").iterdir()
    Image.new("L", (4, 4)).save(tmp_path / "black.png")
    [answer] = json.loads(cli("predict", made, "black.png", "--json").out)
    assert [set(one) for one in answer["top"]] == [{"class", "output"}] * 2
    assert "%" not in cli("predict", made, "black.png").out


def test_predict_without_an_image(cli: Run, room: Path) -> None:
    (room / "empty").mkdir()
    assert cli("predict", "run").code == 2
    result = cli("predict", "run", "nothing.png")
    assert result.code == 1
    assert result.err == "error: nothing.png: the file does not exist\n"
    np.savez(room / "x.npz", x=np.zeros((1, 8, 8, 1)))
    result = cli("predict", "run", "x.npz")
    assert result.code == 1 and "fix: in Python: cnnspec.load(RUN).predict(array)" in result.err
    result = cli("predict", "run", "empty")
    assert result.code == 1
    assert "empty: the folder holds no image" in result.err


def test_a_run_that_is_not_there_leads_to_those_that_are(cli: Run, room: Path) -> None:
    for i, name in enumerate(("net-20260101-000000", "net-20260102-000000", "flowers-20260103-000000")):
        shutil.copytree(room / "run", room / "runs" / name)
        os.utime(room / "runs" / name / "manifest.json", (i, i))
    for verb, more in (("eval", ()), ("predict", ("a.png",)), ("summary", ()), ("train", ("--resume",))):
        result = cli(verb, "runs/net-20260102-00000", *more)
        assert result.code == 1
        assert "there is no such run or spec" in result.err
        assert "did you mean runs/net-20260102-000000?" in result.err
    assert "did you mean runs/net-20260102-000000?" in cli("eval", "runs/net").err
    assert "did you mean runs/flowers-20260103-000000?" in cli("eval", "flowers").err
    assert "the newest runs: runs/flowers-20260103-000000, runs/net-" in cli("eval", "runs/x").err
    assert "here are: best.safetensors, last.safetensors" in cli("eval", "run/bset.safetensors").err


def test_predict_tells_what_is_left_out_of_a_folder_and_what_is_odd(cli: Run, room: Path) -> None:
    from PIL import Image

    (room / "mixed" / ".hidden").mkdir(parents=True)
    (room / "mixed" / "notes.txt").write_text("none")
    Image.new("L", (8, 8), 9).save(room / "mixed" / "grey.png")
    result = cli("predict", "run", "mixed")
    assert result.code == 0 and result.out.count("grey.png") == 1
    for words in ("1 file not named as an image", "1 hidden folder", "1 picture with one colour throughout"):
        assert words in result.err.replace("\n      ", " ")
