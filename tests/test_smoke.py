"""The whole road in one test: a spec is written, checked, trained, judged, resumed and asked, in a few seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image


def cnnspec(*arguments: str, cwd: Path, code: int = 0) -> str:
    """Run the program as a user would, in a process of its own, and return what stood on stdout."""
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "80"}
    environment.pop("CNNSPEC_DEBUG", None)
    command = [sys.executable, "-m", "cnnspec", *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_from_text_to_a_prediction(tmp_path: Path) -> None:
    cnnspec("new", "digits", "mine.cnn", cwd=tmp_path)
    cnnspec("check", "mine.cnn", cwd=tmp_path)
    layers = json.loads(cnnspec("summary", "mine.cnn", "--json", cwd=tmp_path))["layers"]
    assert [row["kind"] for row in layers] == [
        "conv",
        "relu",
        "conv",
        "relu",
        "maxpool",
        "flatten",
        "dense",
        "relu",
        "dense",
    ]

    cnnspec("train", "mine.cnn", "--steps", "60", cwd=tmp_path)
    [run] = (tmp_path / "runs").iterdir()
    cnnspec("train", "--resume", str(run), "--quiet", cwd=tmp_path)
    found = json.loads(cnnspec("eval", str(run), "--json", cwd=tmp_path))
    assert found["ok"] is True
    assert found["accuracy"] >= 0.97

    one = np.zeros((8, 8), np.uint8)
    one[1:7, 3:5] = 255
    Image.fromarray(one).save(tmp_path / "one.png")
    [answer] = json.loads(cnnspec("predict", str(run), "one.png", "--json", cwd=tmp_path))
    assert answer["top"][0]["class"] == "1"
