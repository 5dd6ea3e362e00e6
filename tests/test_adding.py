"""docs/adding-a-layer.md is followed word for word, and does not hold without any one of its blocks."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "adding-a-layer.md").read_text(encoding="utf-8")
NEEDED = ("cnnspec", "grammar", "tests", "docs", "specs", "benchmarks/specs")


@dataclass(frozen=True)
class Step:
    """A block of the page: a file, the place in it ("" for its end), and the text that goes there; or one command."""

    file: str
    place: str
    text: str

    def take(self, folder: Path) -> None:
        """Put the text where the page says."""
        path = folder / self.file
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        word, _, name = self.place.partition(" ")
        if not self.place:
            new = f"{old}\n\n{self.text}" if old else self.text
        else:
            found = re.search(rf"^{name}\b.*?^}}", old, flags=re.MULTILINE | re.DOTALL)
            assert found, f"{self.file} has no dictionary {name}"
            cut = found.end() - 1 if word == "in" else found.start()
            new = old[:cut] + self.text + ("" if word == "in" else "\n\n") + old[cut:]
        path.write_text(new, encoding="utf-8")


def sections() -> dict[str, tuple[list[Step], list[str]]]:
    """Return the steps and the commands of each section of the page."""
    found = {}
    for title, body in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL):
        steps, commands = [], []
        for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", body, flags=re.MULTILINE | re.DOTALL):
            if language == "sh":
                commands += block.splitlines()
                continue
            first, _, text = block.partition("\n")
            place = re.fullmatch(r"# ([\w/.]+)(?:, ((?:in|above) \w+))?", first)
            assert place, f"{first!r} names no file"
            steps.append(Step(place[1], place[2] or "", text))
        found[title] = steps, commands
    return found


SECTIONS = sections()
# Without a block: what fails, by section and number of the block; the last number is the page of layers.
WITHOUT = {
    "A layer": (
        "No module named 'cnnspec.ops.mirror'",
        "mirror has no lowering",
        "does not define mirror",
        "no kernel is called 'mirror",
        "add samples to tests/ops/samples.py",
        "add a formula to tests/ops/reference.py",
        "run: pytest --update-golden",
    ),
    "An activation": (
        "KeyError: 'lecun_tanh'",
        "lecun_tanh has no row",
        "add samples to tests/ops/samples.py",
        "add a formula to tests/ops/reference.py",
        "run: pytest --update-golden",
    ),
    "An optimizer": (
        "optimizers and formulas differ",
        "does not define adagrad",
        "no kernel is called 'adagrad",
        "name 'adagrad' is not defined",
        "optimizers and formulas differ",
        "run: pytest --update-golden",
    ),
    "A data source": (
        "cannot import name 'Stripes'",
        "Stripes has no reader",
        "file or directory not found",
        "run: pytest --update-golden",
    ),
}


NETS = {
    "A layer": "input 8x8x2\nconv 4 3x3 -> mirror height -> relu\nflatten -> dense 2\n",
    "An activation": "input 8x8x2\nconv 4 3x3 -> lecun_tanh\nflatten -> dense 2\n",
    "An optimizer": "input 8x8x1\nflatten -> dense 10\ndata {\n  source digits\n}\n"
    "train {\n  optimizer adagrad fall=0.1\n  epochs 1\n}\n",
    "A data source": "input 8x8x1\nflatten -> dense 2\ndata {\n  source stripes 20\n}\ntrain {\n  epochs 1\n}\n",
}
# What the commands print of such a net.
SHOWN = {
    "A layer": (
        ("summary", "mirror"),
        ("dump --stage graph", "= mirror %0 {along="),
        ("dump --stage plan", "mirror.f32"),
    ),
    "An activation": (("summary", "lecun_tanh"), ("dump --stage inference", "activation='lecun_tanh'")),
    "An optimizer": (("dump --stage plan", "adagrad.f32"), ("train", "650 weights"), ("layers adagrad", "Duchi")),
    "A data source": (("check", "ok"), ("train", "stripes: 40 training"), ("layers stripes", "images of each class")),
}


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a module of the copy of the project."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def follow(title: str, folder: Path, without: int | None = None) -> subprocess.CompletedProcess[str]:
    """Copy the project, take all steps of a section but one, run its commands, and return the last that was run."""
    for name in NEEDED:
        ignore = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    steps, (page, *checks) = SECTIONS[title]
    for number, step in enumerate(steps):
        if number != without:
            step.take(folder)
    done = subprocess.CompletedProcess[str]([], 1, "", "")
    for command in checks if without is not None else [page, *checks]:  # an old page is found last
        words = shlex.split(command)
        assert words[0] == "pytest"
        done = run(folder, "pytest", "-x", "-q", "-p", "no:cacheprovider", *words[1:])
        if done.returncode:
            break
    return done


def test_the_reasons_are_those_of_the_blocks() -> None:
    assert {title: len(reasons) for title, reasons in WITHOUT.items()} == {
        title: len(steps) + 1 for title, (steps, _) in SECTIONS.items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("title", SECTIONS)
def test_the_page_can_be_followed(title: str, tmp_path: Path) -> None:
    done = follow(title, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "net.cnn").write_text(NETS[title])
    for command, words in SHOWN[title]:
        name, *options = command.split()
        done = run(tmp_path, "cnnspec", name, *([] if name == "layers" else ["net.cnn"]), *options)
        assert done.returncode == 0 and words in done.stdout + done.stderr, (command, done.stdout, done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("title", "block", "reason"),
    [(title, block, reason) for title, reasons in WITHOUT.items() for block, reason in enumerate(reasons)],
)
def test_no_block_can_be_left_out(title: str, block: int, reason: str, tmp_path: Path) -> None:
    done = follow(title, tmp_path, without=block)
    assert done.returncode != 0
    assert reason in done.stdout + done.stderr
