"""Imports point one way, and what only looks at a spec loads neither numpy nor numba."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import cnnspec

PACKAGE = Path(cnnspec.__file__).parent
HEAVY = ("numpy", "numba", "llvmlite", "PIL", "safetensors")

# part -> the parts it may import; each may import itself
BELOW = {
    "activations": "",
    "by_type": "",
    "source": "",
    "text": "",
    "errors": "source text",
    "reading": "errors",
    "datasets": "",
    "places": "",
    "drafts": "",
    "sealed": "drafts",
    "turns": "",
    "abi": "errors",
    "layouts": "abi",
    "options": "",
    "kernels": "abi activations by_type places drafts sealed reading",
    "syntax": "by_type errors source reading places drafts sealed",
    "ir": "errors",
    "ops": "activations by_type errors ir",
    "model": "by_type errors source text syntax ir ops",
    "draw": "text ir model",
    "autodiff": "ir ops",
    "passes": "activations errors options layouts ir ops model autodiff",
    "plan": "errors abi layouts",
    "lower": "abi activations by_type layouts ir ops plan",
    "compiler": "errors source options syntax model ir passes plan lower",
    "mend": "errors source syntax compiler",
    "runtime": "abi by_type errors text options drafts turns layouts ir model plan lower compiler kernels reading",
    "shown": "errors text kernels runtime",
    "weighted": "errors turns model compiler runtime shown",
    "api": "weighted errors options model compiler runtime shown",
    "cli": "errors options text places drafts sealed reading syntax ops model draw ir compiler mend runtime kernels "
    "__init__",
    "__init__": "api errors",
    "__main__": "cli",
}
# Refusals of the machine are worded where they are met: a missing library, a folder that is read-only.
# Python shows progress with the views of the command line, and takes no more of it (docs/adr/0021).
EXCEPTIONS = {("kernels", "errors"), ("shown", "cli.progress"), ("shown", "cli.render")}
# Modules that import each other, also for types alone or inside functions; docs/adr/0028 has the reason of each circle.
CIRCLES = [{"model.expand", "model.rewriting", "model.structure"}]


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


@cache
def imports(path: Path) -> tuple[tuple[int, str], ...]:
    """Return line and module of each import of cnnspec, also of those inside functions and of those for types alone."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    package = ("cnnspec", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*start, *([node.module] if node.module else [])])
            targets = [f"{module}.{alias.name}" for alias in node.names]  # a module, or a name of the module before it
        else:
            continue
        for target in targets:
            first, _, name = target.partition(".")
            if first == "cnnspec":
                yield node.lineno, next((m for m in (name, name.rpartition(".")[0]) if m in MODULES), "__init__")


def permits(path: Path) -> Iterator[tuple[int, str, tuple[str, str] | None]]:
    """Yield line, module and permit of each import of another part; None for one that has no permit."""
    part = part_of(path)
    for line, module in imports(path):
        target = module.partition(".")[0]
        known = [pair for pair in ((part, target), (part, module)) if pair in EXCEPTIONS]
        if target in BELOW[part].split():
            yield line, module, (part, target)
        elif target != part:
            yield line, module, known[0] if known else None


@pytest.mark.parametrize("path", MODULES.values(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    part = part_of(path)
    assert part in BELOW, f"{part}: say in BELOW what it may import"
    wrong = [f"line {line}: {part} imports {module}" for line, module, permit in permits(path) if permit is None]
    assert not wrong, "\n".join(wrong)


def test_no_permit_is_stale() -> None:
    given = {(part, other) for part, others in BELOW.items() for other in others.split()} | EXCEPTIONS
    used = {permit for path in MODULES.values() for *_, permit in permits(path)}
    assert given - used == set()
    assert {*BELOW} == {part_of(path) for path in MODULES.values()}


def test_parts_and_modules_import_each_other_in_no_circle() -> None:
    parts: dict[str, set[str]] = {part: {*others.split()} for part, others in BELOW.items()}
    modules = {name: {module for _, module in imports(path)} - {name} for name, path in MODULES.items()}
    assert circles(parts) == []
    assert circles(modules) == CIRCLES


def circles(edges: dict[str, set[str]]) -> list[set[str]]:
    """Return the sets of names that reach each other."""
    reach: dict[str, set[str]] = {}
    for name in edges:
        found, ahead = set(), [*edges[name]]
        while ahead:
            one = ahead.pop()
            if one not in found:
                found.add(one)
                ahead += edges[one]
        reach[name] = found
    met = [{other for other in reach[name] if name in reach[other]} for name in sorted(edges)]
    return [one for i, one in enumerate(met) if one and one not in met[:i]]


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
    [
        "--help",
        "summary net.cnn",
        "check net.cnn",
        "diff net.cnn net.cnn",
        "draw net.cnn",
        "layers conv",
        "new digits",
        "dump net.cnn --stage plan",
        "fmt --shapes net.cnn",
    ],
)
def test_looking_at_a_spec_loads_no_arrays(arguments: str, tmp_path: Path) -> None:
    from cnnspec.cli.new import template

    (tmp_path / "net.cnn").write_text(template("resnet"))
    code = f"from cnnspec.cli.main import run; assert run({arguments.split()!r}) == 0"
    assert not loaded_by(code, tmp_path) & {*HEAVY}


def test_a_net_with_weights_draws_none(tmp_path: Path) -> None:
    """Memory and time of a process that only predicts: the random numbers of numpy are never imported."""
    code = (
        "import numpy as np\n"
        "from cnnspec.compiler import Compiler\n"
        "from cnnspec.runtime.network import Network\n"
        "compiler = Compiler.from_text('input 8x8x1 -> conv 4 3x3 -> flatten -> dense 3').with_options(batch=1)\n"
        "weights = {name: np.ones(p.shape, np.float32) for name, p in compiler.model.params.items()}\n"
    )
    drawn = loaded_by(code + "Network(compiler)", tmp_path) - loaded_by(
        code + "net = Network(compiler, parameters=weights)\n"
        "assert all((w == 1).all() for w in net.parameters().values())",
        tmp_path,
    )
    assert "numpy.random" in drawn


def test_a_usual_picture_loads_few_formats(tmp_path: Path) -> None:
    from PIL import Image

    for suffix in ("png", "tif"):
        Image.new("L", (8, 8)).save(tmp_path / f"a.{suffix}")
    code = (
        "from pathlib import Path\n"
        "from cnnspec.runtime.data.image import load_picture\n"
        "from cnnspec.runtime.data.levels import Decoding\n"
        "assert load_picture(Path('a.{}'), (8, 8, 1), Decoding()).pixels.shape == (8, 8, 1)"
    )
    png, tif = (loaded_by(code.format(suffix), tmp_path) for suffix in ("png", "tif"))
    assert "PIL.TiffImagePlugin" in tif - png


def test_the_names_of_the_package_are_there_and_listed() -> None:
    assert {name for name in dir(cnnspec) if not name.startswith("_")} >= {*cnnspec.__all__} - {"__version__"}
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        cnnspec.lode  # noqa: B018
