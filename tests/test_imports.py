"""Imports point one way, and what only looks at a spec loads neither numpy nor numba."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cnnspec

PACKAGE = Path(cnnspec.__file__).parent
HEAVY = ("numpy", "numba", "llvmlite", "PIL", "safetensors")

# part -> the parts it may import; each may import itself
BELOW = {
    "source": "",
    "text": "",
    "errors": "source text",
    "reading": "errors",
    "datasets": "",
    "places": "",
    "sealed": "",
    "turns": "",
    "layouts": "",
    "options": "",
    "kernels": "places sealed",
    "syntax": "errors source places sealed",
    "spec_file": "errors source syntax reading",
    "ir": "errors",
    "ops": "errors ir",
    "model": "errors source text syntax ir ops",
    "summary_text": "text model",
    "autodiff": "ir ops",
    "passes": "errors options layouts ir ops model autodiff",
    "plan": "errors layouts ir model",
    "lower": "layouts ir ops plan",
    "compiler": "errors source text options spec_file syntax model ir passes plan lower",
    "mend": "errors source syntax compiler",
    "runtime": "errors source text options sealed turns layouts syntax ir ops model passes plan lower compiler kernels "
    "datasets reading",
    "shown": "errors text runtime",
    "api": "errors options source text turns syntax ops model summary_text compiler runtime reading shown",
    "cli": "errors options source text places sealed reading ops model summary_text ir passes plan compiler mend "
    "runtime kernels __init__",
    "__init__": "api errors",
    "__main__": "cli",
}
# Refusals of the machine are worded where they are met: a missing library, a folder that is read-only.
# Python shows progress with the views of the command line, and takes no more of it (docs/adr/0021).
EXCEPTIONS = {("kernels", "errors"), ("shown", "cli.progress"), ("shown", "cli.render")}


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line, part, module) of each import of cnnspec that runs, also of those inside functions."""
    package = ("cnnspec", *path.relative_to(PACKAGE).parts[:-1])
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*start, *([node.module] if node.module else [])])
            # ``from . import x`` imports the module x, or a name of the package itself
            targets = [f"{module}.{alias.name}" for alias in node.names] if module.count(".") == 0 else [module]
        else:
            continue
        for target in targets:
            words = target.split(".")
            if words[0] == "cnnspec":
                known = len(words) > 1 and words[1] in BELOW
                yield node.lineno, words[1] if known else "__init__", ".".join(words[1:3])


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    part = part_of(path)
    assert part in BELOW, f"{part}: say in BELOW what it may import"
    allowed = {part, *BELOW[part].split()}
    wrong = [
        f"line {line}: {part} imports {target}"
        for line, target, module in imports(path)
        if target not in allowed and not {(part, target), (part, module)} & EXCEPTIONS
    ]
    assert not wrong, "\n".join(wrong)


def test_only_render_imports_rich() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rich")
        or (isinstance(node, ast.Import) and any(a.name.split(".")[0] == "rich" for a in node.names))
    }
    assert users == {"cli/render.py"}


def test_only_render_prints() -> None:
    """What is printed passes through the filter there: names and specs of strangers must not talk to the terminal."""
    others = {
        f"{path.relative_to(PACKAGE)}:{node.lineno}: render.say, show, note or say_aside instead"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write")
        and str(path.relative_to(PACKAGE)) != "cli/render.py"
    }
    assert not others


def loaded_by(code: str, cwd: Path) -> set[str]:
    """Return the names of all modules that a fresh Python has loaded after running the code."""
    report = "\nimport sys; print('MODULES', *sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("MODULES")[2].split())


@pytest.mark.parametrize(
    "module",
    ["cnnspec", "cnnspec.api", "cnnspec.compiler", "cnnspec.ops", "cnnspec.model.model", "cnnspec.syntax"],
)
def test_importing_loads_no_arrays(module: str, tmp_path: Path) -> None:
    assert not loaded_by(f"import {module}", tmp_path) & {*HEAVY}


@pytest.mark.parametrize(
    "arguments",
    ["--help", "summary net.cnn", "check net.cnn", "layers conv", "new digits", "dump net.cnn --stage plan"],
)
def test_looking_at_a_spec_loads_no_arrays(arguments: str, tmp_path: Path) -> None:
    from cnnspec.cli.new import template

    (tmp_path / "net.cnn").write_text(template("resnet"))
    code = f"from cnnspec.cli.main import run; assert run({arguments.split()!r}) == 0"
    assert not loaded_by(code, tmp_path) & {*HEAVY}


def test_the_names_of_the_package_are_there_and_listed() -> None:
    assert {name for name in dir(cnnspec) if not name.startswith("_")} >= {*cnnspec.__all__} - {"__version__"}
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        cnnspec.lode  # noqa: B018
