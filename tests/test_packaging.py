"""What travels in the wheel and in the source archive."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of a wheel of this checkout."""
    builder = pytest.importorskip("hatchling.builders.wheel")
    folder = tmp_path_factory.mktemp("dist")
    [made] = builder.WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return str(made)


@pytest.fixture(scope="module")
def wheel(made: str) -> list[str]:
    """Return the names of the files in the wheel."""
    with zipfile.ZipFile(made) as archive:
        return archive.namelist()


def test_wheel_metadata_has_links(made: str) -> None:
    with zipfile.ZipFile(made) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        lines = archive.read(name).decode().splitlines()
    links = [line.partition(", ")[2] for line in lines if line.startswith("Project-URL: ")]
    assert links and all(link.startswith("https://") for link in links)


@pytest.mark.parametrize(
    "name",
    [
        "cnnspec/grammar/cnn.lark",
        "cnnspec/datasets/digits.npz",
        "cnnspec/datasets/ATTRIBUTION.md",
        "cnnspec/cli/templates/digits.cnn",
        "cnnspec/zoo/resnet18.cnn",
        "cnnspec/zoo/convmixer.cnn",
        "cnnspec/py.typed",
        "cnnspec/manual/language.md",
        "cnnspec/manual/errors.md",
        "cnnspec/manual/lint.md",
        "cnnspec/manual/first-start.md",
    ],
)
def test_wheel_holds(wheel: list[str], name: str) -> None:
    assert name in wheel


def test_the_zoo_is_found_in_the_wheel(made: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(made) as archive:
        archive.extractall(tmp_path / "there")
    code = "import cnnspec; from cnnspec.cli.main import run; print(cnnspec.__file__, run(['new', '--list']))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "there")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == f"{tmp_path / 'there' / 'cnnspec' / '__init__.py'} 0"
    for path in (ROOT / "specs" / "zoo").glob("*.cnn"):
        assert f"  {path.stem} " in done.stdout


def test_wheel_holds_the_licence_and_nothing_of_the_tests(wheel: list[str]) -> None:
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
    assert any(name.endswith("licenses/NOTICE") for name in wheel)
    assert not [name for name in wheel if name.startswith(("tests", "docs", "benchmarks")) or ".pyc" in name]


def test_source_archive_can_build_the_wheel_and_run_the_tests(tmp_path: Path) -> None:
    builder = pytest.importorskip("hatchling.builders.sdist")
    [made] = builder.SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(made) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        "grammar/cnn.lark",
        "specs/digits.cnn",
        "specs/zoo/resnet18.cnn",
        "tests/test_packaging.py",
        "pyproject.toml",
        "hatch_build.py",
        "README.md",
    }
    assert wanted <= names


def test_no_cnnspec_grammar_folder_shadows_the_one_copy() -> None:
    assert not (ROOT / "cnnspec" / "grammar").exists()
    assert (ROOT / "grammar" / "cnn.lark").stat().st_size > 0


def test_the_version_is_that_of_the_package() -> None:
    import cnnspec

    done = subprocess.run([sys.executable, "-m", "cnnspec", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"cnnspec {cnnspec.__version__}"
