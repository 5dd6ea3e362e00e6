"""Documentation that cannot rot: its commands run, its outputs are today's, its links lead somewhere."""

from __future__ import annotations

import doctest
import re
import shlex
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click
import pytest

import cnnspec
from cnnspec.cli import main, render
from cnnspec.cli.main import COMMANDS, run
from cnnspec.compiler import Compiler
from cnnspec.errors import SpecError
from cnnspec.kernels import cache
from cnnspec.places import cache_root

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHEAP = ("new", "check", "fmt", "lint", "layers", "help", "summary", "draw", "dump", "cache")
CACHE = str(cache_root())
NAMES = [name for section in COMMANDS.values() for name in section]


def blocks(page: str, *languages: str) -> Iterator[str]:
    """Yield the fenced blocks of a page in one of the languages ("" for none)."""
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL):
        if language in languages:
            yield body


def commands(page: str) -> Iterator[list[str]]:
    """Yield the arguments of each ``cnnspec`` command of a page's shell blocks, without comments."""
    for block in blocks(page, "sh", "console"):
        for line in block.splitlines():
            line = line.removeprefix("$ ")
            if line.startswith("cnnspec "):
                yield shlex.split(line, comments=True)[1:]


def all_commands() -> list[list[str]]:
    unique: dict[str, list[str]] = {}
    for path in PAGES:
        for arguments in commands(path.read_text(encoding="utf-8")):
            unique[shlex.join(arguments)] = arguments
    return list(unique.values())


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with what the commands of the documentation speak of, and work there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNSPEC_CACHE", str(tmp_path / "cache"))  # `cache clear` must not empty the developer's
    monkeypatch.setenv("NO_COLOR", "1")
    shutil.copytree(ROOT / "specs", tmp_path / "specs")
    for name in ("daisy", "rose"):
        (tmp_path / "data" / "flowers" / name).mkdir(parents=True)
    (tmp_path / "my.cnn").write_text((ROOT / "specs" / "digits.cnn").read_text(encoding="utf-8"))
    (tmp_path / "flowers.cnn").write_text((tmp_path / "my.cnn").read_text())
    render.console.cache_clear()
    return tmp_path


@pytest.mark.parametrize("arguments", [a for a in all_commands() if a[0] in CHEAP], ids=lambda a: " ".join(a)[:60])
def test_cheap_commands_of_the_documentation_run(
    workplace: Path, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_in_use", None)  # this process may have chosen another folder already
    if arguments[:2] == ["cache", "build"]:  # into the folder where most of the kernels are
        monkeypatch.setenv("CNNSPEC_CACHE", CACHE)
    if arguments[0] == "new" and len(arguments) > 2:
        (workplace / arguments[2]).unlink(missing_ok=True)
    assert run(arguments) == 0, capsys.readouterr().err


@pytest.mark.parametrize("arguments", all_commands(), ids=lambda a: " ".join(a)[:60])
def test_every_command_of_the_documentation_is_well_formed(arguments: list[str]) -> None:
    name, *rest = arguments
    if name.startswith("-"):
        return
    command = main.cli.get_command(click.Context(main.cli), name)
    assert command is not None, name
    command.make_context(name, list(rest))


@pytest.mark.slow
def test_training_commands_of_the_documentation_run(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    monkeypatch.setenv("CNNSPEC_CACHE", CACHE)
    (workplace / "pictures").mkdir()
    Image.new("L", (30, 20), 90).save(workplace / "pictures" / "a.png")
    assert run(["train", "my.cnn", "--epochs", "2", "--quiet"]) in (
        0,
        1,
    )  # two epochs miss what the spec expects
    [trained] = (workplace / "runs").iterdir()
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    tried = 0
    for arguments in commands(page):
        if arguments[0] in CHEAP:
            continue
        if arguments[0] == "eval" and "val" in arguments:
            continue  # digits.cnn holds nothing out
        code = run([str(trained) if a == "RUN" else a for a in arguments])
        assert code in (0, 1), (arguments, capsys.readouterr().err)
        assert "error" not in capsys.readouterr().err
        tried += 1
    assert tried >= 5


def test_the_outputs_of_console_blocks_are_those_of_today(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = [b for path in PAGES for b in blocks(path.read_text(encoding="utf-8"), "console")]
    assert shown
    for block in shown:
        command, _, expected = block.partition("\n")
        render.console.cache_clear()
        assert run(shlex.split(command.removeprefix("$ "))[1:]) == 0
        assert capsys.readouterr().out.rstrip() == expected.rstrip()


def test_the_spec_of_the_readme_is_that_of_the_summary_and_the_first_command() -> None:
    written = Compiler.from_text(next(blocks(README, ""))).model
    trained = Compiler.from_path(ROOT / "specs" / "digits.cnn").model
    assert [(x.name, x.op, x.out_shape) for x in written.layers] == [
        (x.name, x.op, x.out_shape) for x in trained.layers
    ]
    assert written.train.epochs == trained.train.epochs
    assert (written.train.optimizer, written.train.schedule) == (
        trained.train.optimizer,
        trained.train.schedule,
    )


BROKEN = """\
input 32x32x3
block basic(c, stride=1) {
  residual {
    conv c 3x3 stride=stride -> bn -> relu
    conv c 3x3 -> bn
  }
  relu
}
conv 16 3x3 -> bn -> relu
basic 16
basic 32 stride=2
avgpool global -> flatten -> dense 10
"""


def test_the_error_of_the_readme_is_the_one_that_is_printed() -> None:
    with pytest.raises(SpecError) as caught:
        assert Compiler.from_text(BROKEN, name="net.cnn").model
    assert str(caught.value) in README


def test_the_readme_has_the_two_commands_on_one_line_each() -> None:
    lines = [line for block in blocks(README, "sh") for line in block.splitlines()]
    assert sum(line.startswith("python3 -m venv") and "cnnspec train specs/digits.cnn" in line for line in lines) == 1
    assert sum(line.startswith("python3 -m venv") and "pytest" in line for line in lines) == 1


@pytest.mark.parametrize("name", NAMES)
def test_cli_page_names_every_command(name: str) -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert f"| `{name}` |" in page
    assert f"cnnspec {name}" in page


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def run_doctests(name: str, text_or_module: str | ModuleType) -> doctest.TestResults:
    flags = doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(optionflags=flags)
    if isinstance(text_or_module, str):
        tests = [doctest.DocTestParser().get_doctest(text_or_module, {}, name, name, 0)]
    else:
        tests = [t for t in doctest.DocTestFinder().find(text_or_module) if t.examples]
    for test in tests:
        runner.run(test)
    return runner.summarize(verbose=False)


@pytest.mark.parametrize("module", ["cnnspec", "cnnspec.api", "cnnspec.weighted", "cnnspec.compiler"])
def test_docstring_examples(module: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CNNSPEC_CACHE")
    results = run_doctests(module, import_module(module))
    assert results.attempted > 0
    assert results.failed == 0


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_python_examples_of_the_documentation(page: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CNNSPEC_CACHE")
    text = "\n".join(blocks((ROOT / page).read_text(encoding="utf-8"), "python"))
    results = run_doctests(page, text)
    assert results.attempted > 0
    assert results.failed == 0


def test_every_public_name_of_the_front_has_an_example() -> None:
    from cnnspec import api, weighted

    public = [
        api.load,
        api.parse,
        *(v for cls in (weighted.WeightedSpec, api.Net) for k, v in vars(cls).items() if callable(v) and k[0] != "_"),
    ]
    assert len(public) >= 8
    for function in public:
        assert ">>> " in (function.__doc__ or ""), function


def test_changelog_tells_the_version() -> None:
    assert f"## {cnnspec.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_makefile_lists_its_tasks() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    tasks = re.findall(r"^([a-z]+):", text, flags=re.MULTILINE)
    assert len(tasks) >= 10
    for task in tasks:
        assert re.search(rf"^{task}:.*## \w", text, flags=re.MULTILINE), f"{task} has no line of help"
