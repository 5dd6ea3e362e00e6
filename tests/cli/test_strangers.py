"""Names and texts of strangers: what they hold is shown, and never obeyed by the terminal."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from terminal import in_a_terminal

from cnnspec.errors import DataError
from cnnspec.text import table, visible

Run = Callable[..., Any]
BAD = "a\x1b[31m\x1b]0;owned\x07\r\x08\x7f\x9b2J\u202e\u2066\nb"
SHOWN = r"a\x1b[31m\x1b]0;owned\x07\r\x08\x7f\x9b2J\u202e\u2066\nb"
OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[2K|\x1b\[1A|\x1b\[\?25[lh]|\r")  # colours and live lines


def is_clean(written: str) -> bool:
    return not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", written)


def test_signs_that_a_terminal_obeys_are_shown_as_escapes() -> None:
    assert visible(BAD) == SHOWN
    assert visible("\udcff\ud800\U000e0041 \u2028\ufeff\xad") == r"\xff\ud800\U000e0041 \u2028\ufeff\xad"
    assert visible("a\n\tb", lines=True) == "a\n\\tb"
    for fine in ("Füße", "漢字", "👩\u200d🔬", "نص", "é", "a b\u00a0c"):
        assert visible(fine) == fine


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", BAD),
        ("summary", BAD + ".cnn"),
        ("check", BAD),
        (BAD + ".cnn",),
        (BAD,),
        ("new", BAD),
        ("new", "digits", f"{BAD}/x.cnn"),
        ("new", "pictures", "--folder", BAD),
        ("layers", BAD),
        ("dump", "net.cnn", "--stage", BAD),
        ("train", "net.cnn", "--epochs", BAD),
        ("train", "net.cnn", "--set", BAD),
        ("train", "net.cnn", "--set", f"{BAD}=1"),
        ("train", "net.cnn", f"--{BAD}"),
        ("train", "--resume", BAD),
        ("eval", BAD),
        ("predict", "run", BAD),
        ("eval", "run", "--weights", BAD),
    ],
    ids=lambda arguments: " ".join(a.replace(BAD, "BAD") for a in arguments),
)
def test_errors_quote_arguments_with_escapes(cli: Run, room: Path, arguments: tuple[str, ...]) -> None:
    result = cli(*arguments)
    assert result.code in (1, 2)
    assert is_clean(result.out + result.err)
    assert r"\x1b[31m" in result.err


def test_diagnostics_of_a_spec(cli: Run, tmp_path: Path) -> None:
    name = "n\x1b[2Jet.cnn"
    (tmp_path / name).write_text(
        "input 8x8x1  # \x1b[31m \u202e x\nconv 8 3x3 -> rleu  # \x9b1m\nflatten -> dense 10\n\x1b[32m\n"
        'data { source folders "\x1b]0;t\x07" }\n',
        encoding="utf-8",
    )
    for arguments in (
        ("check", name),
        ("check", name, "--set", f"width={BAD}"),
        ("check", name, "--fix"),
        ("summary", name),
        ("dump", name, "--stage", "ast"),
    ):
        result = cli(*arguments)
        assert is_clean(result.out + result.err), arguments
        assert result.out + result.err
    found = cli("check", name, "--json").out
    assert is_clean(found)
    assert json.loads(found)["file"] == name


def test_a_good_spec_of_a_bad_name(cli: Run, tmp_path: Path) -> None:
    name = "n\x1b[2J\net.cnn"
    (tmp_path / name).write_text("input 8x8x1\nflatten -> dense 2\nexpect params > 1  # \x1b[31m\n", encoding="utf-8")
    for arguments in (("check", name), ("summary", name), ("bench", name, "--repeats", "1"), ("dump", name)):
        result = cli(*arguments)
        assert result.code == 0
        assert is_clean(result.out + result.err), arguments
    assert cli("summary", name).out.splitlines()[0] == r"n\x1b[2J\net.cnn: 8x8x1 -> 2"


def test_a_class_folder_whose_name_is_a_control_sequence(tmp_path: Path) -> None:
    from PIL import Image

    bad = ["\x1b[31mred", "b\x9b2J\x07\u202eell\n"]
    for name in bad:
        (tmp_path / "pics" / name).mkdir(parents=True)
        for i in range(12):
            Image.new("L", (8, 8), i).save(tmp_path / "pics" / name / f"{i}\x1b[2J.png")
    spec = 'input 8x8x1\nflatten -> dense 2\ndata { source folders "pics"\nsplit val=30% }\ntrain { epochs 1 }\n'
    (tmp_path / "net.cnn").write_text(spec)
    assert in_a_terminal(["train", "net.cnn"], tmp_path)[0] == 0
    [run] = (tmp_path / "runs").iterdir()
    for arguments in (
        ["train", "net.cnn"],
        ["eval", str(run), "--split", "val", "--confusion"],
        ["predict", str(run), "pics"],
        ["predict", str(run), "pics", "--top", "2"],
    ):
        code, drawn = in_a_terminal(arguments, tmp_path)
        assert code == 0
        assert is_clean(OURS.sub("", drawn)), arguments
    assert r"\x1b[31mred" in drawn


@pytest.mark.skipif(os.name != "posix", reason="bytes as names of files")
def test_training_on_names_that_are_no_utf8(cli: Run, tmp_path: Path) -> None:
    from PIL import Image

    for name in (b"pics/caf\xe9", b"pics/b"):
        os.makedirs(name)
        for i in range(6):
            Image.new("L", (8, 8), i).save("x.png")
            os.rename(b"x.png", name + b"/\xff%d.png" % i)
    spec = 'input 8x8x1\nflatten -> dense 2\ndata { source folders "pics" }\ntrain { epochs 1 }\n'
    (tmp_path / "net.cnn").write_text(spec)
    assert cli("train", "net.cnn").code == 0
    [run] = (tmp_path / "runs").iterdir()
    assert r"caf\xe9" in cli("eval", run, "--confusion").out


@pytest.mark.skipif(os.name != "posix", reason="bytes as names of files")
def test_a_file_name_that_is_no_utf8(cli: Run, room: Path) -> None:
    from PIL import Image

    os.makedirs(b"pics")
    Image.new("L", (8, 8)).save("x.png")
    os.rename(b"x.png", b"pics/caf\xe9.png")
    (room / "pics" / "broken.png").write_text("no picture")
    result = cli("predict", "run", "pics")
    assert result.code == 1
    assert r"pics/caf\xe9.png" in result.out
    found = cli("predict", "run", "pics", "--json").out
    assert is_clean(found)
    files = [os.fsencode(entry["file"]) for entry in json.loads(found)]  # no lone surrogates in a failure's text
    assert files == [b"pics/broken.png", b"pics/caf\xe9.png"]
    os.rename(b"net.cnn", b"n\xe9t.cnn")
    assert cli("summary", os.fsdecode(b"n\xe9t.cnn")).out.startswith(r"n\xe9t.cnn: ")


def test_names_in_weights_and_manifests(cli: Run, room: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    save_file({BAD: np.zeros(3, np.float32)}, "w.safetensors")
    result = cli("eval", "run", "--weights", "w.safetensors")
    assert result.code == 1
    assert is_clean(result.out + result.err)
    path = next(p for p in (room / "run").iterdir() if p.suffix == ".json")
    manifest = json.loads(path.read_text())
    assert "class_names" in manifest
    manifest["class_names"] = [f"{i}{BAD}" for i in range(10)]
    path.write_text(json.dumps(manifest))
    from PIL import Image

    Image.new("L", (8, 8)).save("x.png")
    for more in ((), ("--json",)):
        result = cli("predict", "run", "x.png", *more)
        assert is_clean(result.out + result.err)


def test_an_error_is_safe_in_python_too() -> None:
    error = DataError("no such class", path=Path(BAD), field="\x1b[1m", found="\x07", hint="a\nb")
    assert is_clean(str(error))
    assert len(str(error).splitlines()) == 3


def test_a_warning_is_safe_in_python_too() -> None:
    from cnnspec.errors import DataWarning
    from cnnspec.shown import tell

    with pytest.warns(DataWarning) as told:
        tell(f"left out {BAD}")
    assert str(told[0].message) == f"left out {SHOWN}"


def test_settings_of_a_manifest(cli: Run, room: Path) -> None:
    path = room / "run" / "manifest.json"
    manifest = json.loads(path.read_text())
    for bad in ([[BAD, "1"]], [["train.epochs", BAD]], BAD):
        path.write_text(json.dumps({**manifest, "set": bad}))
        for arguments in (("eval", "run"), ("check", "run"), ("train", "--resume", "run")):
            result = cli(*arguments)
            assert result.code == 1
            assert is_clean(result.out + result.err)


def test_tables_hold_names_of_all_scripts() -> None:
    lines = table(("class", "n"), [("漢字", "1"), ("ab\x1b", "2"), ("e\u0301", "3")], "lr")
    assert lines == ["class   n", "漢字    1", r"ab\x1b  2", "e\u0301       3"]


def test_an_internal_error_quotes_what_it_met(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from cnnspec.cli import main

    def fail(*args: object, **more: object) -> None:
        raise RuntimeError(BAD)

    monkeypatch.setattr(main.cli, "main", fail)
    for debug in ("", "1"):
        monkeypatch.setenv("CNNSPEC_DEBUG", debug)
        assert main.run([]) == 3
        written = capfd.readouterr().err
        assert is_clean(written)
        assert r"\x1b[31m" in written
