"""The manual cannot rot: its specs are checked, its error reports and its list of layers are made anew."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

import pytest
from golden import CASES

from cnnspec.compiler import Compiler
from cnnspec.errors import SpecError
from cnnspec.syntax.spec_file import decode, read_source

ROOT = CASES.parent.parent
DOCS = ROOT / "docs"
ENTRY = re.compile(r"^## `([a-z-]+)`$(.*?)(?=^## |\Z)", re.M | re.S)
REPORT = re.compile(r"```text\n(.*?)```", re.S)
SPEC = re.compile(r"```cnn\n(.*?)```", re.S)


def huge(tmp_path: Path) -> None:
    path = tmp_path / "weights.cnn"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    read_source(path)


# entries whose spec cannot stand in a page
WITHOUT_SPEC = {
    "too-large": huge,
    "encoding": lambda _: decode("model.cnn", "input 8x8x1  # Größe\nrelu\n".encode("latin-1")),
}


def report_of(code: str, entry: str, tmp_path: Path) -> str:
    spec = SPEC.search(entry)
    assert (spec is None) == (code in WITHOUT_SPEC), f"`{code}` needs one failing spec"
    with pytest.raises(SpecError) as caught:
        if spec is None:
            WITHOUT_SPEC[code](tmp_path)
        else:
            raise SpecError(Compiler.from_text(spec.group(1), name="model.cnn").findings)
    codes = {d.code for d in caught.value.diagnostics}
    assert codes == {code}, f"the spec of `{code}` shows {codes}"
    return str(caught.value).replace(str(tmp_path) + "/", "")


def test_error_catalogue_shows_real_reports(tmp_path, update_golden):
    path = DOCS / "errors.md"
    text = path.read_text(encoding="utf-8")
    for code, entry in ENTRY.findall(text):
        shown = REPORT.search(entry)
        assert shown is not None, f"`{code}` shows no report"
        lines = (line.rstrip() for line in report_of(code, entry, tmp_path).splitlines())
        real = "\n".join(lines) + "\n"
        if update_golden:
            text = text.replace(entry, entry.replace(shown.group(0), f"```text\n{real}```"))
        else:
            assert shown.group(1) == real, f"`{code}` differs; if it is right: pytest --update-golden"
    path.write_text(text, encoding="utf-8") if update_golden else None


def test_error_catalogue_has_every_code():
    """Every code that the sources use has an entry, and every entry is used."""
    package = ROOT / "cnnspec"
    used: set[str] = set()
    for path in (*package.glob("syntax/*.py"), *package.glob("model/*.py"), package / "compiler.py"):
        used.update(
            re.findall(
                r'(?:(?:Diagnostic|guessed|finding|_fault)\(\s*|code=)"([a-z-]+)"', path.read_text(encoding="utf-8")
            )
        )
    listed = [code for code, _ in ENTRY.findall((DOCS / "errors.md").read_text(encoding="utf-8"))]
    assert set(listed) == used
    assert listed == sorted(listed)


def specs_of(page: str) -> list[object]:
    text = (DOCS / page).read_text(encoding="utf-8")
    found = list(SPEC.finditer(text))
    assert len(found) > 10
    return [pytest.param(m.group(1), id=f"line{text.count(chr(10), 0, m.start()) + 1}") for m in found]


@pytest.mark.parametrize("spec", specs_of("language.md"))
def test_specs_of_the_manual_are_right(spec):
    Compiler.from_text(spec).model  # noqa: B018


def test_list_of_layers_is_fresh(update_golden):
    from cnnspec.cli.manual import catalogue, manual

    parts = [
        "# Layers and settings\n",
        "Made from the classes themselves; `cnnspec layers NAME` prints the same page. "
        "Words in capitals are bare arguments, in this order; brackets mean that it may be left out.\n",
    ]
    for group, entries in groupby(catalogue(), lambda entry: entry.group):
        parts.append(f"## {group}\n")
        for entry in entries:
            title = f"### {entry.word}\n\n" if entry.word else ""
            page = "\n".join(line.rstrip() for line in manual(entry, 96).splitlines())
            parts.append(f"{title}```text\n{page.strip()}\n```\n")
    fresh = "\n".join(parts)
    path = DOCS / "layers.md"
    if update_golden:
        path.write_text(fresh, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == fresh, "run: pytest --update-golden"
