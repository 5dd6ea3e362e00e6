"""Bad input ends in exit code 1 with the file, the place or the field, and never in a traceback."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Run = Callable[..., Any]

# what is wrong -> the spec, the place in it, words of the message
SPECS = {
    "unknown layer": ("input 8x8x1\nconvv 4 3x3\n", "2:1", "unknown layer `convv`"),
    "unknown key": ("input 8x8x1\nconv 4 3x3 padding=1\n", "2:12", "`padding`"),
    "unknown name": ("input 8x8x1\nconv wdth 3x3\n", "2:6", "wdth"),
    "unknown value": ("input 8x8x1\nconv 4 3x3 pad=smae\n", "2:16", "smae"),
    "missing argument": ("input 8x8x1\nconv 4\n", "2:1", "size"),
    "surplus argument": ("input 8x8x1\nconv 4 3x3 5\n", "2:12", "5"),
    "wrong type": ("input 8x8x1\nconv 4 3x3 bias=3\n", "2:17", "yes or no"),
    "dense on an image": ("input 8x8x1\ndense 10\n", "2:1", "flat"),
    "residual": ("input 8x8x1\nresidual {\n  conv 4 3x3\n}\n", "2:1", "residual branches do not match"),
    "concat": ("input 8x8x1\nconcat {\n  | identity\n  | maxpool 2\n}\n", "2:1", "8x8"),
    "even kernel": ("input 8x8x1\nconv 4 2x2\n", "2:8", "odd kernel"),
    "filter too large": ("input 8x8x1\nconv 4 9x9 pad=none\n", "2:8", "larger than its input"),
    "zero size": ("input 8x8x1\nconv 0 3x3\n", "2:6", "at least 1"),
    "negative size": ("input 8x8x1\nconv (-4) 3x3\n", "2:6", "at least 1"),
    "softmax before the loss": (
        "input 8x8x1\nflatten -> dense 10 -> softmax\ndata { source digits }\ntrain { loss cross_entropy }\n",
        "2:24",
        "softmax",
    ),
    "outputs are not classes": (
        "input 8x8x1\nflatten -> dense 9\ndata { source digits }\n", "2:18", "10"),
    "recursion": ("input 8x8x1\nblock a() {\n  a\n}\na\n", "3:3", "itself"),
    "a repeat of a billion": ("input 8x8x1\nrepeat 1000000000 { relu }\n", "2:8", "1,000,000,000"),
    "syntax": ("input 8x8x1\nconv 4 3x3 -> -> relu\n", "2:15", "->"),
}  # fmt: skip


@pytest.mark.parametrize("what", SPECS)
@pytest.mark.parametrize("verb", ["check", "train"])
def test_wrong_specs(cli: Run, tmp_path: Path, what: str, verb: str) -> None:
    text, place, words = SPECS[what]
    (tmp_path / "net.cnn").write_text(text)
    result = cli(verb, "net.cnn")
    assert (result.code, result.out) == (1, "")
    assert f"net.cnn:{place}" in result.err
    assert words in result.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("what", SPECS)
def test_the_place_ends_at_column_80_or_has_a_line_of_its_own(cli: Run, tmp_path: Path, what: str) -> None:
    text, place, _ = SPECS[what]
    (tmp_path / "net.cnn").write_text(text)
    first, second, *_ = cli("check", "net.cnn").err.splitlines()
    if len(first) <= 80 and first.endswith(f"  net.cnn:{place}"):
        return
    assert second == f"  at net.cnn:{place}"
    assert len(first) + len(f"  net.cnn:{place}") > 80


def test_a_spec_of_50_mb(cli: Run, tmp_path: Path) -> None:
    with (tmp_path / "net.cnn").open("wb") as f:
        f.truncate(50_000_000)
    result = cli("summary", "net.cnn")
    assert result.code == 1
    assert "50,000,000" in result.err
    assert "net.cnn" in result.err


def test_a_spec_that_is_not_utf8(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_bytes(b"input 8x8x1\nconv 4 3x3  # gr\xfcn\n")
    result = cli("summary", "net.cnn")
    assert result.code == 1
    assert "net.cnn:2:" in result.err
    assert "0xFC" in result.err


def test_a_spec_that_is_missing_names_a_near_one(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "digits.cnn").write_text("input 8x8x1\n")
    result = cli("summary", "digit.cnn")
    assert result.code == 1
    assert "digit.cnn" in result.err
    assert "did you mean digits.cnn?" in result.err
    assert "did you mean digits.cnn?" in cli("summary", "digits").err
    (tmp_path / "t.cnn").write_text("input 8x8x1\n")
    assert "here are: digits.cnn, t.cnn" in cli("summary", "nothing.cnn").err


@pytest.mark.parametrize("verb", ["summary", "eval", "predict"])
def test_a_folder_that_is_no_run(cli: Run, tmp_path: Path, verb: str) -> None:
    (tmp_path / "stuff").mkdir()
    result = cli(verb, "stuff", *(["a.png"] if verb == "predict" else []))
    assert result.code == 1
    assert "stuff: this is not a run folder" in result.err


NET = "input 8x8x1\nflatten -> dense {classes}\ndata {{ source {source} }}\ntrain {{ epochs 1 }}\n"


def idx(path: Path, magic: int, shape: tuple[int, ...], content: bytes) -> None:
    path.write_bytes(struct.pack(f">{1 + len(shape)}I", magic, *shape) + content)


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "idx"
    folder.mkdir()
    idx(folder / "train-images-idx3-ubyte", 0x803, (5, 8, 8), bytes(5 * 64))
    idx(folder / "train-labels-idx1-ubyte", 0x801, (5,), bytes([0, 1, 2, 1, 0]))
    (tmp_path / "net.cnn").write_text(NET.format(classes=3, source='idx "idx"'))
    return folder


def test_a_missing_data_file(cli: Run, idx_folder: Path) -> None:
    (idx_folder / "train-labels-idx1-ubyte").unlink()
    result = cli("train", "net.cnn")
    assert result.code == 1
    assert "train labels is missing" in result.err
    assert "expected: train-labels-idx1-ubyte" in result.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (struct.pack(">4I", 0x803, 5, 8, 8) + bytes(100), "336 bytes"),
        (struct.pack(">4I", 0x803, 2**31, 2**15, 2**15), "expected"),
        (b"not an idx file at all", "IDX"),
    ],
    ids=["empty", "truncated", "lying", "another kind"],
)
def test_a_damaged_data_file(cli: Run, idx_folder: Path, content: bytes, words: str) -> None:
    (idx_folder / "train-images-idx3-ubyte").write_bytes(content)
    result = cli("train", "net.cnn")
    assert result.code == 1
    assert "train-images-idx3-ubyte" in result.err
    assert words in result.err


def test_a_label_out_of_range(cli: Run, idx_folder: Path) -> None:
    idx(idx_folder / "train-labels-idx1-ubyte", 0x801, (5,), bytes([0, 1, 7, 1, 0]))
    result = cli("train", "net.cnn")
    assert result.code == 1
    assert "labels[2]" in result.err
    assert "0 to 2" in result.err


def test_an_unreadable_picture_is_named(cli: Run, tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / "pics" / name).mkdir(parents=True)
        for i in range(6):
            Image.new("L", (8, 8), 20 * i).save(tmp_path / "pics" / name / f"{i}.png")
    (tmp_path / "pics" / "b" / "4.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (tmp_path / "net.cnn").write_text(NET.format(classes=2, source='folders "pics"'))
    result = cli("train", "net.cnn")
    assert result.code == 1
    assert "4.png" in result.err


def test_a_spec_without_data_is_named(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text("input 8x8x1\nflatten -> dense 10\n")
    result = cli("train", "net.cnn")
    assert result.code == 1
    assert result.err.startswith("error: net.cnn: data: the spec has no data section\n")


def test_an_npz_with_a_nan(cli: Run, tmp_path: Path) -> None:
    x = np.zeros((4, 8, 8, 1), np.float32)
    x[2, 3, 4, 0] = np.nan
    np.savez(tmp_path / "d.npz", x_train=x, y_train=np.array([0, 1, 0, 1]))
    (tmp_path / "net.cnn").write_text(NET.format(classes=2, source='npz "d.npz"'))
    result = cli("train", "net.cnn")
    assert result.code == 1
    assert "x_train[2, 3, 4, 0]" in result.err


def test_a_place_where_nothing_can_be_written(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "net.cnn").write_text(NET.format(classes=10, source="digits"))
    (tmp_path / "file").write_text("")
    result = cli("train", "net.cnn", "--out", "file/runs")
    assert result.code == 1
    assert "file/runs" in result.err
    assert "--out FOLDER" in result.err


LONG = "w" * 300_000
TOO_LONG = {
    "layer": f"input 8x8x1\n{LONG}\n",
    "key": f"input 8x8x1\nconv 4 3x3 {LONG}=1\n",
    "value": f"input 8x8x1\nconv 4 3x3 pad={LONG}\n",
    "text": f'input 8x8x1\nconv 4 3x3 pad="{LONG}"\n',
    "number": f"input 8x8x1\nconv {'9' * 300_000} 3x3\n",
    "label": f"input 8x8x1\n{LONG}: conv 4 3x3\n",
    "block": f"input 8x8x1\nblock {LONG}() {{ relu }}\n",
    "parameter": f"param {LONG} = 1\ninput 8x8x1\nconv nothing 3x3\n",
    "metric": f"input 8x8x1\nrelu\nexpect {LONG} == 3\n",
    "from": f"input 8x8x1\na: relu\nfrom {LONG}\n",
    "call": f"input 8x8x1\nConv2D({LONG})\n",
    "arguments": f"input 8x8x1\nconv 4{' 3x3' * 50_000}\n",
    "setting": f"input 8x8x1\nrelu\ntrain {{ {LONG} 3 }}\n",
}


@pytest.mark.parametrize("what", TOO_LONG)
@pytest.mark.parametrize("verb", [("check",), ("check", "--fix"), ("summary",)])
def test_a_word_without_end_is_shortened(cli: Run, tmp_path: Path, what: str, verb: tuple[str, ...]) -> None:
    (tmp_path / "net.cnn").write_text(TOO_LONG[what])
    result = cli(verb[0], "net.cnn", *verb[1:])
    assert result.code == 1
    assert len(result.err + result.out) < 60_000
    assert max(map(len, (result.err + result.out).splitlines())) < 3000


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "net.cnn", "--set", f"{LONG}=1"),
        ("check", "net.cnn", "--set", f"lr={LONG}"),
        ("check", "net.cnn", "--set", LONG),
        ("check", LONG),
        ("check", f"~{LONG}/net.cnn"),
        ("layers", LONG),
        ("new", LONG),
        ("dump", "net.cnn", "--stage", LONG),
        ("train", "net.cnn", "--epochs", LONG),
        (LONG,),
    ],
    ids=range(10),
)
def test_an_argument_without_end_is_shortened(cli: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "net.cnn").write_text("input 8x8x1\nflatten -> dense 10\n")
    result = cli(*arguments)
    assert result.code in (1, 2)
    assert len(result.err + result.out) < 6000
