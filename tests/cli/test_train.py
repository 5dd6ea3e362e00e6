"""train: what it shows, where it stops, how it goes on."""

from __future__ import annotations

import json
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
from tiny import SPEC

from cnnspec import load

Run = Callable[..., Any]
TIMED = ("seconds", "waiting")  # what of an epoch no two runs have alike


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


def test_a_sweep_is_not_run_and_train_says_so(cli: Run, room: Path) -> None:
    (room / "net.cnn").write_text(SPEC + "sweep { train.optimizer.lr [0.3, 0.1] }\n")
    note = "sweeps are not run yet: this is one run of 2, with the values that the spec writes outside of `sweep`"
    assert note in json.loads(cli("train", "net.cnn", "--json", "--steps", "1").out)["notes"]


def test_a_run_keeps_the_files_that_its_spec_uses(cli: Run, room: Path) -> None:
    spec = (room / "net.cnn").read_text()
    (room / "lib").mkdir()
    (room / "lib" / "blocks.cnn").write_text("block act { relu }\n")
    (room / "net.cnn").write_text('use "lib/blocks.cnn"\n' + spec.replace("relu", "act", 1))
    made = Path(json.loads(cli("train", "net.cnn", "--json", "--steps", "3").out)["run"])
    (room / "lib" / "blocks.cnn").write_text("block act { tanh }\n")
    assert "relu" in cli("summary", made).out
    shutil.rmtree(room / "lib")
    (room / "net.cnn").unlink()
    assert json.loads(cli("train", "--resume", made, "--json").out)["status"] == "finished"
    assert cli("eval", made).code == 0
    assert load(made).output_shape == (10,)
    assert (made / "lib" / "blocks.cnn").read_text() == "block act { relu }\n"
    again = json.loads(cli("train", made / "spec.cnn", "--json", "--steps", "1", "--out", "again").out)["run"]
    assert (Path(again) / "lib" / "blocks.cnn").is_file()


def test_train_ends_with_code_1_when_the_spec_expected_more(cli: Run, room: Path) -> None:
    (room / "net.cnn").write_text(SPEC.replace(">= 50%", ">= 100%"))
    result = cli("train", "net.cnn")
    assert result.code == 1
    assert re.search(r"^FAILED expect test.accuracy >= 100%: found \d", result.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--epochs", "1"], "train.epochs is 1 instead of 2"),
        (["--set", "train.optimizer.lr=0.001"], "train.optimizer.lr is 0.001 instead of 0.01"),
        (["--steps", "3"], "the training was stopped before its end"),
    ],
)
def test_what_the_spec_expects_is_not_judged_by_another_training(
    cli: Run, room: Path, options: list[str], why: str
) -> None:
    (room / "net.cnn").write_text(SPEC.replace(">= 50%", ">= 100%") + "expect params <= 2k\n")
    result = cli("train", "net.cnn", *options)
    assert (result.code, result.err) == (0, "")
    assert "-      expect test.accuracy >= 100%: not judged" in result.out
    assert why in result.out and "FAILED" not in result.out
    [made] = (room / "runs").iterdir()
    measured = cli("eval", made, "--json")
    [line] = json.loads(measured.out)["expects"]
    assert (measured.code, line["ok"], line["not_judged"]) == (0, None, why)
    assert line["found"] < 1
    result = cli("train", "net.cnn", *options, "--json")
    found = json.loads(result.out)
    assert found["ok"] and [e["not_judged"] for e in found["expects"]] == [why]


def test_the_value_of_the_spec_and_another_seed_are_judged(cli: Run, room: Path) -> None:
    (room / "net.cnn").write_text(SPEC.replace(">= 50%", ">= 100%"))
    assert "FAILED expect test.accuracy" in cli("train", "net.cnn", "--epochs", "2", "--seed", "3").out


def test_a_static_expectation_is_judged_whatever_was_set(cli: Run, room: Path) -> None:
    (room / "net.cnn").write_text(SPEC + "expect params <= 1k\n")
    result = cli("train", "net.cnn", "--epochs", "1")
    assert result.code == 1
    assert "expected params <= 1,000" in result.err


def test_a_run_that_went_on_is_judged_by_the_epochs_it_has(cli: Run, room: Path) -> None:
    result = cli("train", "net.cnn", "--epochs", "1", "--json")
    run = json.loads(result.out)["run"]
    assert "ok     expect test.accuracy" in cli("train", "--resume", run, "--epochs", "2").out
    assert "ok     expect test.accuracy" in cli("eval", run).out


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
        assert {k: v for k, v in one.items() if k not in TIMED} == {k: v for k, v in two.items() if k not in TIMED}


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
    out, err = process.communicate()
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


GUESSES = SPEC.replace("source digits", "source digits\n  normalize mean=127 std=64").replace(
    "adam lr=0.01", "sgd lr=0.05"
)


def test_a_net_that_has_learned_nothing_is_told_so_in_train_and_eval(cli: Run, room: Path) -> None:
    (room / "net.cnn").write_text(GUESSES.replace("epochs 2", "epochs 5"))
    result = cli("train", "net.cnn")
    assert "note: the net has learned nothing: test accuracy" in result.out
    assert "note: likely cause: normalize works on pixels divided by 255" in result.out
    assert "the net's inputs have mean" not in result.out  # the checker's warning has told it
    [made] = (room / "runs").iterdir()
    measured = cli("eval", made)
    assert "the net is no better than guessing" in measured.err and "write  normalize mean=0.498" in measured.err
    found = json.loads(cli("eval", made, "--json").out)
    assert len(found["notes"]) == 2 and "no better than guessing" in found["notes"][0]


def test_json_holds_every_note_and_quiet_tells_them_on_stderr(cli: Run, room: Path) -> None:
    (room / "net.cnn").write_text(GUESSES.replace("mean=127 std=64", "mean=0.5 std=0.01"))
    found = json.loads(cli("train", "net.cnn", "--json", "--steps", "1").out)
    assert "mean -19." in found["notes"][0] and "stopped in epoch 1 after step 1" in found["notes"][-1]
    result = cli("train", "net.cnn", "--quiet", "--steps", "1")
    assert "note:" not in result.out
    assert re.search("^note: the net's inputs have mean", result.err, re.MULTILINE)
    (room / "net.cnn").write_text(GUESSES)
    [warning] = json.loads(cli("train", "net.cnn", "--json", "--steps", "1").out)["warnings"]
    assert "normalize works on pixels" in warning["message"]


def test_training_a_run_without_resume_says_that_it_begins_anew(cli: Run, room: Path) -> None:
    result = cli("train", "run", "--steps", "1", "--out", "more")
    assert (
        "note: a new run begins with new weights; to go on with the old one: cnnspec train --resume run" in result.out
    )
    assert "begins with new weights" not in cli("train", "--resume", "run").out


def test_an_out_folder_that_cannot_be_written_is_told_before_kernels_are_loaded(
    cli: Run, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cnnspec.runtime.network import Network

    def compile(self: Network, *_: object, **__: object) -> None:
        raise AssertionError("kernels were loaded first")

    monkeypatch.setattr(Network, "compile", compile)
    (room / "file").write_text("")
    for out in ("file", "file/below/it"):
        result = cli("train", "net.cnn", "--out", out)
        assert result.code == 1 and "--out FOLDER" in result.err, result.err
    assert not (room / "runs").exists()


def test_batch_and_lr_are_short_for_their_settings(cli: Run, room: Path) -> None:
    result = cli("train", "net.cnn", "--steps", "1", "--batch", "7", "--lr", "0.003", "--json")
    [made] = (room / "runs").glob("net-*")
    assert json.loads((made / "manifest.json").read_text())["set"] == [
        ["train.batch", "7"],
        ["train.optimizer.lr", "0.003"],
    ]
    assert json.loads(result.out)["status"] == "interrupted"
    for option in ("--batch", "--lr", "--seed"):
        again = cli("train", "--resume", made, option, "1")
        assert again.code == 2
        assert f"{option} cannot change when a run goes on" in again.err
    assert cli("train", "net.cnn", "--lr", "fast").code == 2


def test_one_epoch_of_a_spec_with_a_longer_warmup_is_trained_and_told(cli: Run, room: Path) -> None:
    spec = (room / "net.cnn").read_text().replace("train {", "train {\n  schedule warmup 2 -> cosine\n")
    (room / "net.cnn").write_text(spec)
    result = cli("train", "net.cnn", "--epochs", "1", "--steps", "1")
    assert result.code == 0
    assert "warning[range]: the warmup of 2 epochs is longer than the training of 1 epoch" in result.err
