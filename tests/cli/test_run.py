"""train, eval, predict, bench, doctor, cache: commands that compute, on the built-in digits."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cnnspec.cli.main import run

Run = Callable[..., Any]

SPEC = """\
input 8x8x1
conv 8 3x3 -> relu
maxpool 2
flatten
dense classes
data {
  source digits
  split val=10%
}
train {
  optimizer adam lr=0.01
  epochs 2
  batch 32
  keep best on=val.accuracy
}
expect test.accuracy >= 50%
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with net.cnn and one run of it, runs/net-..."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "net.cnn").write_text(SPEC)
    here = Path.cwd()
    os.chdir(folder)
    try:
        assert run(["train", "net.cnn", "--quiet"]) == 0
    finally:
        os.chdir(here)
    return folder


@pytest.fixture
def room(trained: Path, tmp_path: Path, cli: Run) -> Path:
    """Return a copy of it to work in, with the run as ``run``; the current folder."""
    shutil.copy(trained / "net.cnn", tmp_path)
    [made] = (trained / "runs").iterdir()
    shutil.copytree(made, tmp_path / "run")
    return tmp_path


# ---- train --------------------------------------------------------------------------------------
def test_train_shows_each_epoch_the_result_and_what_to_type_next(cli: Run, room: Path) -> None:
    result = cli("train", "net.cnn")
    assert (result.code, result.err) == (0, "")
    [made] = (room / "runs").iterdir()
    lines = result.out.splitlines()
    assert lines[0] == "net.cnn: 1,370 weights to learn, 2 epochs of 41 steps"
    assert lines[1] == "digits: 1,295 training, 143 validation, 359 test images, 10 classes"
    assert re.search(r"^ +epoch +loss accuracy val loss +val acc +lr images/s +time$", result.out, re.MULTILINE)
    assert re.search(r"^ +2/2 +\d\.\d{4} +\d\d\.\d\d % ", result.out, re.MULTILINE)
    assert re.search(r"^test accuracy  \d\d\.\d\d %$", result.out, re.MULTILINE)
    assert f"run folder     runs/{made.name}" in lines
    assert "ok     expect test.accuracy >= 50%" in result.out
    assert f"next: cnnspec predict runs/{made.name} IMAGE..." in lines
    assert max(map(len, lines)) <= 80
    assert {p.name for p in made.iterdir()} == {
        "spec.cnn", "manifest.json", "metrics.jsonl", "last.safetensors", "best.safetensors"
    }  # fmt: skip


def test_train_json_is_the_whole_output(cli: Run, room: Path) -> None:
    result = cli("train", "net.cnn", "--json", "--epochs", "1", "--seed", "7", "--out", "elsewhere")
    found = json.loads(result.out)
    assert found["status"] == "finished"
    assert found["epochs"] == len(found["history"]) == 1
    assert found["run"].startswith("elsewhere/net-")
    assert set(found["test"]) == {"test.loss", "test.accuracy"}
    assert json.loads((Path(found["run"]) / "manifest.json").read_text())["seed"] == 7


def test_train_ends_with_code_1_when_the_spec_expected_more(cli: Run, room: Path) -> None:
    (room / "net.cnn").write_text(SPEC.replace(">= 50%", ">= 100%"))
    result = cli("train", "net.cnn", "--epochs", "1")
    assert result.code == 1
    assert re.search(r"^FAILED expect test.accuracy >= 100%: found \d", result.out, re.MULTILINE)


def test_steps_stops_and_resume_goes_on(cli: Run, room: Path) -> None:
    result = cli("train", "net.cnn", "--steps", "10", "--out", "part")
    assert result.code == 0
    [made] = (room / "part").iterdir()
    assert f"next: cnnspec train --resume part/{made.name}" in result.out
    result = cli("train", "--resume", f"part/{made.name}")
    assert result.code == 0
    assert "going on from epoch 1, step 10" in result.out
    whole = cli("train", "net.cnn", "--out", "whole")
    assert whole.code == 0
    [other] = (room / "whole").iterdir()
    rows = [[json.loads(x) for x in (d / "metrics.jsonl").read_text().splitlines()] for d in (made, other)]
    for one, two in zip(*rows, strict=True):
        assert {k: v for k, v in one.items() if k != "seconds"} == {k: v for k, v in two.items() if k != "seconds"}


def test_a_run_trained_anew_keeps_its_name_and_finds_its_data(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    x = np.random.default_rng(0).random((8, 4, 4, 1)).astype(np.float32)
    np.savez(tmp_path / "here" / "d.npz", x_train=x, y_train=np.arange(8) % 2)
    text = 'input 4x4x1\nflatten -> dense 2\ndata { source npz "d.npz" }\ntrain { epochs 1 }\n'
    (tmp_path / "here" / "net.cnn").write_text(text)
    first = Path(json.loads(cli("train", "here/net.cnn", "--json").out)["run"])
    second = Path(json.loads(cli("train", first, "--out", "more", "--json").out)["run"])
    third = Path(json.loads(cli("train", second, "--out", "more", "--json").out)["run"])
    assert all(run.name.startswith("net-") for run in (first, second, third))
    assert json.loads((third / "manifest.json").read_text())["spec"] == "here/net.cnn"


def test_resume_asks_for_a_run(cli: Run, room: Path) -> None:
    result = cli("train", "--resume", "net.cnn")
    assert result.code == 2
    assert "goes on with a run folder" in result.err


def test_resume_with_another_setting_is_refused_by_name(cli: Run, room: Path) -> None:
    result = cli("train", "--resume", "run", "--set", "train.optimizer.lr=0.5")
    assert result.code == 1
    assert "optimizer.lr" in result.err
    assert "expected: 0.01" in result.err


def test_ctrl_c_saves_and_says_how_to_go_on(trained: Path, tmp_path: Path) -> None:
    shutil.copy(trained / "net.cnn", tmp_path)
    command = [sys.executable, "-m", "cnnspec", "train", "net.cnn", "--epochs", "1000000"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    while "1/1000000" not in (line := process.stdout.readline()):
        assert line, process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    [made] = (tmp_path / "runs").iterdir()
    assert out.splitlines()[-1] == f"next: cnnspec train --resume runs/{made.name}"
    assert (made / "last.safetensors").is_file()


def test_a_loss_that_is_not_a_number_ends_with_the_layer_and_the_checkpoint(cli: Run, room: Path) -> None:
    (room / "net.cnn").write_text(SPEC.replace("adam lr=0.01", "sgd lr=1e30"))
    result = cli("train", "net.cnn")
    assert result.code == 1
    assert "error[diverged]" in result.err
    assert "net.cnn:" in result.err
    assert "last.safetensors" in result.err
    assert "a smaller learning rate" in result.err


def test_one_epoch_is_no_epochs_and_a_finished_run_says_that_nothing_is_left(cli: Run, room: Path) -> None:
    result = cli("train", "net.cnn", "--set", "train.batch=2000", "--epochs", "1")
    assert "1 epoch of 1 step\n" in result.out
    result = cli("train", "--resume", "run")
    assert "nothing is left to train; to go on: --epochs 4" in result.out
    assert "going on" not in result.out


# ---- eval ---------------------------------------------------------------------------------------
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


# ---- predict ------------------------------------------------------------------------------------
@pytest.fixture
def pictures(room: Path) -> list[int]:
    """Write ten test digits as 40x40 PNG files, pictures/0.png ..., and return their labels."""
    from cnnspec.runtime.data import load_digits

    x, y = load_digits()
    (room / "pictures").mkdir()
    for i in range(10):
        image = Image.fromarray((x[i, :, :, 0] * 15.9).astype(np.uint8))
        image.resize((40, 40), Image.Resampling.NEAREST).save(room / "pictures" / f"{i}.png")
    return [int(n) for n in y[:10]]


def test_predict_shows_bars_for_few_images(cli: Run, room: Path, pictures: list[int]) -> None:
    result = cli("predict", "run", "pictures/0.png", "--top", "2")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "pictures/0.png"
    assert re.fullmatch(r"  0  ━+ +\d+\.\d\d %", lines[1])
    assert len(lines) == 3
    assert max(map(len, lines)) <= 80


def test_predict_of_a_folder_is_right_about_most_and_the_same_with_any_batch(
    cli: Run, room: Path, pictures: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cnnspec.cli import predict

    first = json.loads(cli("predict", "run", "pictures", "--json").out)
    assert [Path(r["file"]).name for r in first] == [f"{i}.png" for i in range(10)]
    right = sum(r["top"][0]["class"] == str(label) for r, label in zip(first, pictures, strict=True))
    assert right >= 7
    monkeypatch.setattr(predict, "BATCH", 3)
    second = json.loads(cli("predict", "run", "pictures", "--json").out)
    for a, b in zip(first, second, strict=True):
        assert a["top"][0]["probability"] == pytest.approx(b["top"][0]["probability"], rel=1e-4)


def test_predict_goes_on_past_an_image_that_cannot_be_read(cli: Run, room: Path, pictures: list[int]) -> None:
    (room / "pictures" / "5.png").write_text("no image")
    result = cli("predict", "run", "pictures")
    assert result.code == 1
    assert "pictures/5.png: cannot be read as an image" in result.err
    assert len(result.out.splitlines()) == 9


def test_predict_invert_is_for_ink_on_paper(cli: Run, room: Path, pictures: list[int]) -> None:
    for i in range(10):
        file = room / "pictures" / f"{i}.png"
        Image.fromarray(255 - np.asarray(Image.open(file))).save(file)
    plain = cli("predict", "run", "pictures", "--top", "1").out
    found = json.loads(cli("predict", "run", "pictures", "--invert", "--json").out)
    assert sum(r["top"][0]["class"] == str(n) for r, n in zip(found, pictures, strict=True)) >= 7
    assert plain


def test_predict_without_an_image(cli: Run, room: Path) -> None:
    (room / "empty").mkdir()
    assert cli("predict", "run").code == 2
    result = cli("predict", "run", "nothing.png")
    assert result.code == 1
    assert result.err == "error: nothing.png: the file does not exist\n"
    result = cli("predict", "run", "empty")
    assert result.code == 1
    assert "empty: the folder holds no image" in result.err


# ---- bench --------------------------------------------------------------------------------------
def test_bench_times_every_layer_both_ways(cli: Run, room: Path) -> None:
    found = json.loads(cli("bench", "net.cnn", "--repeats", "2", "--json").out)
    assert found["batch"] == 32
    assert found["peak_flops_per_second"] > 0 and found["peak_bytes_per_second"] > 0
    by_name = {row["name"]: row for row in found["layers"]}
    assert {"conv", "dense"} <= set(by_name)
    conv = by_name["conv"]
    assert conv["forward"]["flops"] == 2 * 32 * 8 * 8 * 8 * 9
    assert all(conv[way]["seconds"] > 0 and conv[way]["share_of_peak"] < 1 for way in ("forward", "backward"))
    assert conv["forward"]["bytes"] >= 4 * 32 * (8 * 8 + 8 * 8 * 8)  # x and y
    assert conv["forward"]["kernel"].startswith("conv2d")


def test_bench_prints_a_table(cli: Run, room: Path) -> None:
    named = "a_label_of_many_letters: conv 8 3x3 -> bn -> relu\nmaxpool 2\n"
    (room / "long.cnn").write_text(SPEC.replace("maxpool 2\n", named))
    for spec in ("run", "long.cnn"):
        result = cli("bench", spec, "--repeats", "1", "--batch", "4", "--threads", "1")
        assert result.code == 0, result.err
        lines = result.out.splitlines()
        assert lines[0].endswith(".cnn: batch 4, 1 thread")
        assert re.fullmatch(r"limits: [\d.]+ GFLOP/s, memory [\d.]+ [GM]B/s", lines[1])
        columns = ["GFLOP/s", "peak", "MB"]
        assert lines[3].split() == ["Layer", "forward", *columns, "backward", *columns]
        assert lines[-1].endswith("images/s")
        assert max(map(len, lines)) <= 80


# ---- doctor, cache ------------------------------------------------------------------------------
def test_doctor_finds_a_machine_that_trains(cli: Run) -> None:
    result = cli("doctor")
    assert result.code == 0
    for topic in ("python", "packages", "processor", "vectors", "threads", "cache", "data", "training"):
        assert re.search(rf"^(ok|note) +{topic} ", result.out, re.MULTILINE)


def test_doctor_tells_of_a_cache_that_cannot_be_written(
    cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CNNSPEC_CACHE", str(tmp_path / "file" / "cache"))
    found = {f["topic"]: f for f in json.loads(cli("doctor", "--json").out)}
    assert found["cache"]["state"] == "note"
    assert "CNNSPEC_CACHE=DIR" in found["cache"]["advice"]


def test_training_tells_of_missing_openmp(cli: Run, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnspec.runtime import threads

    monkeypatch.setattr(threads, "openmp", lambda: None)
    result = cli("train", "net.cnn", "--epochs", "1")
    assert "note: OpenMP is missing (install libgomp1)" in result.out


@pytest.mark.parametrize("asked", ["abc", "0", "-3", "2.5"])
def test_a_number_of_threads_that_cannot_be_is_refused(
    cli: Run, room: Path, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    monkeypatch.setenv("CNNSPEC_THREADS", asked)
    result = cli("train", "net.cnn")
    assert result.code == 1
    assert "error: CNNSPEC_THREADS: " in result.err
    assert f"found:    {asked}\n" in result.err
    assert not (room / "runs").exists()
    found = {f["topic"]: f for f in json.loads(cli("doctor", "--json").out)}
    assert (found["processor"]["state"], found["threads"]["state"]) == ("ok", "BAD")
    assert "CNNSPEC_THREADS" in found["threads"]["text"]


def test_training_tells_that_kernels_are_not_kept(cli: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from cnnspec.cli.progress import TrainingView
    from cnnspec.kernels import cache

    monkeypatch.setattr(cache, "use_cache", lambda: str(tmp_path))
    view = TrainingView(quiet=True)
    view.on_compile(1, 20)
    assert view.state == "compiling kernels 1/20, anew each time: see  cnnspec doctor"
    monkeypatch.setattr(cache, "cache_dir", lambda: tmp_path)
    view = TrainingView(quiet=True)
    view.on_compile(1, 20)
    assert view.state == "compiling kernels 1/20, once per machine"


def test_doctor_tells_of_missing_openmp(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from cnnspec.runtime import threads

    monkeypatch.setattr(threads, "openmp", lambda: None)
    from cnnspec.cli.doctor import check_threads

    found = {f.topic: f for f in check_threads()}
    assert found["threads"].state == "note"
    assert "libgomp1" in found["threads"].advice


def test_a_read_only_cache_is_no_obstacle(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shutil.copy(trained / "net.cnn", tmp_path)
    environment = {**os.environ, "CNNSPEC_CACHE": str(tmp_path / "file" / "cache")}
    command = [sys.executable, "-m", "cnnspec", "train", "net.cnn", "--steps", "1"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "compiling kernels" in done.stdout


def test_cache_info_and_clear(cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNSPEC_CACHE", str(tmp_path / "cache"))
    found = json.loads(cli("cache", "info", "--json").out)
    assert found["kernels"] == 0
    assert found["folder"].startswith(str(tmp_path / "cache"))
    old = tmp_path / "cache" / "kernels-0123"
    old.mkdir(parents=True)
    (old / "k.nbi").write_bytes(bytes(2048))
    assert "removed 2.00 KiB" in cli("cache", "clear").out
    assert not old.exists()
    assert "the cache was empty" in cli("cache", "clear").out


# ---- in a terminal ------------------------------------------------------------------------------
def in_a_terminal(arguments: list[str], cwd: Path, **variables: str) -> tuple[int, str]:
    """Run the program in a terminal of 80 columns; return its exit code and all that it drew."""
    pty = pytest.importorskip("pty")
    import fcntl
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "NO_COLOR", "COLUMNS")}
    environment |= {"TERM": "xterm-256color", **variables}
    command = [sys.executable, "-m", "cnnspec", *arguments]
    process = subprocess.Popen(command, cwd=cwd, env=environment, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    drawn = b""
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:  # the other end was closed
            break
        if not piece:
            break
        drawn += piece
    os.close(master)
    return process.wait(), drawn.decode()


def test_a_terminal_shows_a_live_line_that_is_gone_in_the_end(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(SPEC)
    code, drawn = in_a_terminal(["train", "net.cnn", "--epochs", "12"], tmp_path)
    assert code == 0
    assert re.search(r"epoch \d+/12.*━.*loss.*images/s.*left", drawn)
    assert "\x1b[2K" in drawn  # the line is erased before it is drawn again
    assert re.search(r"test accuracy  \d", drawn)


def test_no_color_leaves_the_words(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text("input 8x8x1\nconv 8 3x3 -> rleu\n")
    plain = in_a_terminal(["check", "net.cnn"], tmp_path, NO_COLOR="1")
    coloured = in_a_terminal(["check", "net.cnn"], tmp_path)
    assert plain[0] == coloured[0] == 1
    assert "\x1b[31m" not in plain[1]
    assert "\x1b[" in coloured[1]
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured[1]) == re.sub(r"\x1b\[[0-9;]*m", "", plain[1])
    assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", plain[1]).splitlines())) <= 80


def test_a_dumb_terminal_gets_plain_lines(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(SPEC)
    code, drawn = in_a_terminal(["train", "net.cnn"], tmp_path, TERM="dumb")
    assert code == 0
    assert "\x1b" not in drawn
    assert re.search(r"^ +2/2 ", drawn, re.MULTILINE)
