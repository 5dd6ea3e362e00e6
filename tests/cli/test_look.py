"""new, check, layers, summary, dump: what needs no training."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnnspec.cli import render
from cnnspec.cli.dump import STAGES
from cnnspec.cli.new import TEMPLATES, template, zoo
from cnnspec.compiler import Compiler
from cnnspec.ops import LAYERS
from cnnspec.text import size

Run = Callable[..., Any]
ROOT = Path(__file__).resolve().parent.parent.parent
SPECS = sorted((ROOT / "specs").rglob("*.cnn"))


# ---- new ----------------------------------------------------------------------------------------
def test_new_lists_the_templates(cli: Run) -> None:
    result = cli("new", "--list")
    assert result.code == 0
    lines = result.out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")][: len(TEMPLATES)] == [*TEMPLATES]
    for name, text in zoo().items():
        [line] = [line for line in lines if line.startswith(f"  {name} ")]
        assert line.endswith(text.partition("\n")[0].removeprefix("# "))
        assert len(line) <= 80
    assert cli("new").out == result.out


@pytest.mark.parametrize("name", [*TEMPLATES, *zoo()])
def test_every_template_is_a_spec_without_a_mistake(cli: Run, name: str, tmp_path: Path) -> None:
    assert cli("new", name).code == 0
    result = cli("check", f"{name}.cnn")
    assert (result.code, result.err) == (0, "")
    assert max(map(len, template(name).splitlines())) <= 100


def test_new_says_whether_a_net_can_be_trained_yet(cli: Run) -> None:
    assert "cnnspec train convmixer.cnn" in cli("new", "convmixer").out
    bare = cli("new", "resnet18").out
    assert "cnnspec train" not in bare and "add a source" in bare


def test_new_keeps_a_file_that_is_there(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "a.cnn").write_text("mine")
    result = cli("new", "digits", "a.cnn")
    assert result.code == 1
    assert "a.cnn: there is such a file already" in result.err
    assert (tmp_path / "a.cnn").read_text() == "mine"
    assert cli("new", "digits", "a.cnn", "--force").code == 0
    assert (tmp_path / "a.cnn").read_text() == template("digits")


def test_new_counts_the_classes_of_a_folder_and_writes_its_path_as_the_spec_sees_it(cli: Run, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / "pics" / name).mkdir(parents=True)
    (tmp_path / "specs").mkdir()
    assert cli("new", "pictures", "specs/p.cnn", "--folder", "pics").code == 0
    text = (tmp_path / "specs" / "p.cnn").read_text()
    assert ' folders "../pics"\n' in text
    assert re.search(r"^classes 3 ", text, re.MULTILINE)
    assert cli("summary", "specs/p.cnn", "--json").code == 0


def test_new_looks_at_what_the_folder_holds(cli: Run, tmp_path: Path) -> None:
    from PIL import Image

    for part, n in (("Train", 3), ("valid", 2)):
        for name in ("a", "b", ".ipynb_checkpoints"):
            (tmp_path / "pics" / part / name).mkdir(parents=True)
            for i in range(n):
                Image.new("L", (4, 4)).save(tmp_path / "pics" / part / name / f"{i}.png")
    (tmp_path / "pics" / "Train" / "c").mkdir()
    for name in ("pictures", "resnet"):
        result = cli("new", name, f"{name}.cnn", "--folder", "pics")
        assert result.code == 0
        for words in ("3 classes (a, b, c)", "6 training, 4 validation pictures", "validation set valid"):
            assert words in result.out
        assert "no picture yet in c" in result.out and "2 hidden folders" in result.out
        text = (tmp_path / f"{name}.cnn").read_text()
        assert "split" not in text and re.search(r"^  keep +best on=val.accuracy$", text, re.MULTILINE)
        assert cli("check", f"{name}.cnn").code == 0
        assert cli("fmt", "--check", f"{name}.cnn").code == 0


def test_new_with_a_folder_whose_name_no_spec_can_hold(cli: Run, tmp_path: Path) -> None:
    for name in ('a"b', "a\nb", "a\udcffb"):
        for inner in "ab":
            (tmp_path / name / inner).mkdir(parents=True)
        result = cli("new", "pictures", "--folder", name)
        assert result.code == 1 and "cannot stand in a spec" in result.err
        assert not (tmp_path / "pictures.cnn").exists()


def test_new_with_a_folder_that_holds_no_classes(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "pics" / "a").mkdir(parents=True)
    result = cli("new", "pictures", "--folder", "pics")
    assert result.code == 1
    assert "there must be two or more" in result.err
    assert "found:    a" in result.err
    assert not (tmp_path / "pictures.cnn").exists()


def test_new_to_the_terminal(cli: Run) -> None:
    assert cli("new", "lenet", "-").out == template("lenet")


def test_new_with_an_unknown_template(cli: Run) -> None:
    result = cli("new", "digit")
    assert result.code == 2
    assert "did you mean 'digits'?" in result.err
    assert "did you mean 'resnet18'?" in cli("new", "resnet-18").err
    assert "cnnspec new --list names them" in cli("new", "transformer").err


# ---- check --------------------------------------------------------------------------------------
WRONG = """\
input 8x8x1
conv 16 3x3 -> rleu
conv 16 3x3 strid=2
flatten -> dense 10
train { epohcs 3 }
"""


def test_check_tells_every_mistake_with_its_place_and_mend(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(WRONG)
    result = cli("check", "net.cnn")
    assert (result.code, result.out) == (1, "")
    for place in ("net.cnn:2:16", "net.cnn:3:13", "net.cnn:5:9"):
        assert place in result.err
    assert result.err.count("did you mean") == 3
    assert "3 errors" in result.err
    assert "cnnspec check net.cnn --fix  mends 3 of 3" in result.err


def test_check_fix_where_nothing_can_be_written(cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.cnn").write_text("input 8x8x1\nconvv 4 3x3\n")

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    result = cli("check", "net.cnn", "--fix")
    assert result.code == 1
    assert "net.cnn: cannot be written" in result.err
    assert "fix: copy the spec to a folder you may write to" in result.err
    assert [p.name for p in tmp_path.iterdir()] == ["net.cnn"]


def test_check_fix_mends_the_file_and_shows_what_it_did(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(WRONG)
    result = cli("check", "net.cnn", "--fix")
    assert result.code == 0
    assert "-conv 16 3x3 -> rleu\n" in result.out
    assert "+conv 16 3x3 -> relu\n" in result.out
    mended = (tmp_path / "net.cnn").read_text()
    assert mended == WRONG.replace("rleu", "relu").replace("strid=", "stride=").replace("epohcs", "epochs")
    assert cli("check", "net.cnn").code == 0


def test_check_json(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(WRONG)
    result = cli("check", "net.cnn", "--json")
    found = json.loads(result.out)
    assert (result.code, found["ok"], found["file"]) == (1, False, "net.cnn")
    assert [(d["line"], d["column"], d["code"]) for d in found["diagnostics"]][:2] == [
        (2, 16, "unknown-layer"),
        (3, 13, "unknown-key"),
    ]
    assert json.loads(cli("check", ROOT / "specs" / "zoo" / "lenet5.cnn", "--json").out)["ok"] is True


def test_check_json_tells_files_that_cannot_be_read_as_a_spec(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "latin.cnn").write_bytes("input 8x8x1  # Größe\n".encode("latin-1"))
    (tmp_path / "huge.cnn").write_bytes(b"\n" * 1_000_001)
    codes = {"latin.cnn": "encoding", "huge.cnn": "too-large", "missing.cnn": "file", ".": "file"}
    for name, code in codes.items():
        result = cli("check", name, "--json")
        found = json.loads(result.out)
        (finding,) = found["diagnostics"]
        assert (result.code, found["ok"], found["file"]) == (1, False, name)
        assert (finding["code"], finding["severity"], finding["file"]) == (code, "error", name)
        assert finding["message"]
        assert result.err == ""


def test_check_judges_the_expectations_that_need_no_training(cli: Run, tmp_path: Path) -> None:
    text = "input 4x4x1 -> flatten -> dense 2\nexpect params == 34\nexpect test.accuracy >= 90%\n"
    (tmp_path / "net.cnn").write_text(text)
    result = cli("check", "net.cnn")
    assert result.code == 0
    assert "ok     expect params == 34: found 34" in result.out
    assert "1 more after training" in result.out
    (tmp_path / "net.cnn").write_text(text.replace("34", "35"))
    result = cli("check", "net.cnn")
    assert result.code == 1
    assert "expected params == 35, found 34" in result.err
    assert "net.cnn:2:" in result.err


# ---- layers -------------------------------------------------------------------------------------
def test_layers_lists_every_layer_and_setting_in_80_columns(cli: Run) -> None:
    out = cli("layers").out
    assert all(re.search(rf"^  {name} ", out, re.MULTILINE) for name in (*LAYERS, "sgd", "cosine", "folders"))
    assert max(map(len, out.splitlines())) <= 80
    assert "`optimizer NAME ...`" in out
    assert "`batch NAME" not in out and "`stop NAME" not in out  # they have no word to choose
    assert "by `gamma` every `every` epochs" in out


def test_layers_prints_how_a_statement_of_one_form_is_written(cli: Run) -> None:
    out = cli("layers", "batch").out
    assert out.startswith("batch BATCH\n")
    assert "from 1 to 1,000,000" in out
    assert cli("layers", "stop").out.startswith("stop patience=PATIENCE [on=val.loss]\n")


@pytest.mark.parametrize("name", LAYERS)
def test_layers_prints_the_manual_of_each(cli: Run, name: str) -> None:
    out = cli("layers", name).out
    assert out.startswith(name)
    assert max(map(len, out.splitlines())) <= 84  # a formula may be wider


def test_layers_json_names_kinds_and_defaults(cli: Run) -> None:
    [conv] = json.loads(cli("layers", "conv", "--json").out)
    by_key = {a["key"]: a for a in conv["arguments"]}
    assert by_key["stride"]["default"] == "1"
    assert by_key["size"]["required"] is True
    assert "activation" not in by_key


def test_layers_of_an_unknown_name(cli: Run) -> None:
    result = cli("layers", "cnov")
    assert result.code == 2
    assert "did you mean 'conv'?" in result.err


# ---- summary ------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_summary_fits_80_columns_and_its_columns_add_up(cli: Run, path: Path) -> None:
    result = cli("summary", path)
    assert result.code == 0
    lines = result.out.splitlines()
    table = [line for line in lines if not line.startswith(str(path))]
    assert max(map(len, table)) <= 80
    total = int(next(x for x in lines if x.startswith("Total params")).split()[2].replace(",", ""))
    column = lines[2].index("Param #") + len("Param #")
    shown = [line[:column].split()[-1] for line in lines[4:] if re.search(r"(x\d+| all) +\d+$", line)]
    assert sum(int(n.replace(",", "")) for n in shown if n[0].isdigit() and "x" not in n) == total
    assert total == Compiler.from_path(path).summary.params


def test_summary_json_is_the_summary(cli: Run) -> None:
    found = json.loads(cli("summary", ROOT / "specs" / "zoo" / "lenet5.cnn", "--json").out)
    assert found["params"] == 61706
    assert found["layers"][0]["kind"] == "conv"
    assert {"name", "line", "kind", "in", "out", "params", "macs", "receptive_field"} <= set(found["layers"][0])


def test_summary_shows_padding_and_receptive_field(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text("input 16x16x3\nconv 8 5x5 stride=2 -> relu\nmaxpool 2\n")
    assert cli("summary", "net.cnn").out.splitlines() == [
        "net.cnn: 16x16x3 -> 4x4x8",
        "",
        "Layer                        Output Shape  Param #  Mult-Adds  Sees  Line",
        "─────────────────────────────────────────────────────────────────────────",
        "conv     5x5 stride=2 pad=2         8x8x8      608     38.4 k   5x5     2",
        "relu                                8x8x8        -          -   5x5     2",
        "maxpool  2x2                        4x4x8        -          -   7x7     3",
        "─────────────────────────────────────────────────────────────────────────",
        "Total params  608",
        "Mult-Adds     38.4 k an image",
        "Weights       2.38 KiB",
        "Activations   4.50 KiB an image",
    ]


def test_set_changes_parameters_and_settings(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text("param width = 4\ninput 8x8x1\nconv width 3x3\n")
    params = [
        json.loads(cli("summary", "net.cnn", "--json", *more).out)["params"]
        for more in ((), ("--set", "width=8"), ("--set", "train.epochs=3"))
    ]
    assert params == [40, 80, 40]
    result = cli("summary", "net.cnn", "--set", "widht=8")
    assert result.code == 1
    assert "did you mean `width`?" in result.err
    assert cli("summary", "net.cnn", "--set", "width").code == 2


def test_summary_folds_labels_and_blocks(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(
        "input 8x8x4\nblock b(c) { conv c 3x3 -> relu }\nstem: conv 4 1x1 -> relu\nbody: b 8\n"
        "      repeat 3 { b 8 }\nrepeat 2 { conv 8 1x1 -> relu }\nflatten -> dense 2\n"
    )
    assert cli("summary", "net.cnn", "--depth", "1").out.splitlines()[4:12] == [
        "stem (2 layers)             8x8x4       20     1.02 k   1x1     3",
        "body (2 layers)             8x8x8      296     18.4 k   3x3     4",
        "b1-3 x 3 (6 layers)         8x8x8    1,752      111 k   all     5",
        "x 2                         8x8x8      144     8.19 k   all     6",
        " conv1 1x1                  8x8x8       72     4.10 k   all     6",
        " relu1                      8x8x8        -          -   all     6",
        "flatten                       512        -          -   all     7",
        "dense                           2    1,026     1.02 k   all     7",
    ]
    opened = cli("summary", "net.cnn", "--depth", "2").out.splitlines()
    at = next(i for i, line in enumerate(opened) if line.startswith("b1-3 x 3"))
    assert opened[at].split()[-6:] == ["8x8x8", "1,752", "111", "k", "all", "5"]
    assert [line.split()[:2] for line in opened[at + 1 : at + 3]] == [["conv", "3x3"], ["relu", "8x8x8"]]
    assert cli("summary", "net.cnn", "--depth", "0").code == 2
    assert cli("summary", "net.cnn", "--json", "--depth", "1").out == cli("summary", "net.cnn", "--json").out


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_lines_at_the_top_of_a_folded_summary_add_up(path: Path) -> None:
    from cnnspec.model.outline import outline
    from cnnspec.model.summary_text import folded_table

    compiler = Compiler.from_path(path)
    lines = folded_table(compiler.summary, outline(compiler.model), 1)
    end = lines[0].index("Param #") + len("Param #")
    params = [line[:end].split()[-1].replace(",", "") for line in lines[1:] if not line.startswith(" ")]
    assert sum(int(n) for n in params if n != "-") == compiler.summary.params


def test_summary_has_room_in_any_terminal(cli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.cnn").write_text((ROOT / "specs" / "zoo" / "resnet20.cnn").read_text())
    for width in (40, 45, 50, 60):
        monkeypatch.setattr(render, "terminal_width", lambda *, stderr=False, width=width: width)
        for more in ((), ("--depth", "2")):
            lines = cli("summary", "net.cnn", *more).out.splitlines()
            assert max(map(len, lines)) <= width
            assert any("conv" in line or "layers" in line for line in lines)  # no name is cut down to nothing
            assert ("Line" in lines[2]) == (width >= 60)


def test_summary_tells_the_memory_of_the_plans_that_run(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text("input 8x8x1\nconv 4 3x3 -> relu\nflatten -> dense 2\ntrain { batch 6 }\n")
    found = json.loads(cli("summary", "net.cnn", "--memory", "--json").out)["memory"]
    plan = Compiler.from_path(tmp_path / "net.cnn").plan
    assert found["batch"] == plan.batch == 6
    assert found["training"] == plan.arena + plan.parameters + plan.states > found["inference"] > 4 * 554
    lines = cli("summary", "net.cnn", "--memory").out.splitlines()
    assert lines[-2] == f"Training      {size(found['training'])} for batches of 6, with weights"
    assert lines[-1] == f"Inference     {size(found['inference'])} for one image, with weights"
    assert "memory" not in json.loads(cli("summary", "net.cnn", "--json").out)


# ---- dump ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("ast", "step conv 16 3x3  @"),
        ("model", "conv1 = conv input"),
        ("graph", "= softmax_cross_entropy|cross_entropy"),
        ("inference", "activation='relu'"),
        ("backward", "output grad:conv1.weight"),
        ("plan", "plan batch=32"),
        ("inference-plan", "plan batch=32"),
        ("diagnosis-plan", "plan batch=32"),
    ],
)
def test_dump_prints_each_stage(cli: Run, stage: str, words: str) -> None:
    result = cli("dump", ROOT / "specs" / "digits.cnn", "--stage", stage)
    assert result.code == 0
    assert re.search(words, result.out)


def test_dump_of_a_wrong_spec_is_its_mistakes(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(WRONG)
    result = cli("dump", "net.cnn", "--stage", "plan")
    assert (result.code, result.out) == (1, "")
    assert "did you mean `relu`?" in result.err


IMAGE = "input 8x8x1\nconv 4 3x3 -> relu\n"
NETS = {
    "an image": IMAGE,
    "one layer": "input 8x8x1\nrelu\n",
    "no parameters": "input 8x8x1\nflatten\n",
    "regression": "input 8x8x1\nflatten -> dense 1\ntrain { loss mse }\n",
    "huge": "input 1000x1000x1\nflatten -> dense 1000000\n",
}


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("command", ["check", "summary", "bench", *STAGES[2:]])
def test_commands_on_nets_of_every_end(cli: Run, tmp_path: Path, net: str, command: str) -> None:
    (tmp_path / "net.cnn").write_text(NETS[net])
    trains = command in ("backward", "plan", "bench")
    look = (command,) if command in ("check", "summary", "bench") else ("dump", "--stage", command)
    if command == "bench" and net not in ("an image", "huge"):
        pytest.skip("compiles kernels")
    result = cli(*look, "net.cnn")
    if trains and net in ("an image", "one layer"):
        assert result.code == 1
        assert "net.cnn:2:" in result.err
        assert "a training step needs a flat vector" in result.err
    elif (command, net) == ("bench", "huge"):
        assert result.code == 1
        assert "not enough memory" in result.err
    else:
        assert (result.code, result.err) == (0, "")


def test_layers_prints_a_filter_as_it_is_written_and_the_group_of_all(cli) -> None:
    assert cli("layers", "sobel_x").out.startswith("conv filters=[sobel_x, ...]\n")
    assert "\n    -1  0  1\n    -2  0  2\n    -1  0  1\n" in cli("layers", "sobel_x").out
    assert "  gabor(45, 4, 5)\n     0.7344  0.2927  -0.557 " in cli("layers", "gabor").out
    everything = cli("layers", "filters").out
    assert all(f"[{name}" in everything for name in ("vertical_edge", "roberts_y", "box(", "emboss"))
    assert "did you mean 'sobel_x'" in cli("layers", "sobelx").err
    [entry] = json.loads(cli("layers", "sobel_y", "--json").out)
    assert entry["numbers"] == [[-1, -2, -1], [0, 0, 0], [1, 2, 1]]
