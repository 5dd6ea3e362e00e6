"""Registries by type, and packages whose modules take part by standing in their folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cnnspec.by_type import ByType, import_modules
from cnnspec.model.settings import SETTINGS
from cnnspec.runtime.data import READERS


def test_an_object_has_the_entry_of_its_class_else_of_the_nearest_base() -> None:
    words: ByType[str] = ByType("word")
    words.put("number", int, float)
    assert words.of(1) == words.of(2.0) == words.of(True) == "number"
    words.put("truth", bool)
    assert (words.of(1), words.of(True)) == ("number", "truth")
    assert bool in words and str not in words


def test_what_has_no_entry_and_what_has_two_are_named() -> None:
    words: ByType[str] = ByType("word")
    words.put("number", int)
    with pytest.raises(NotImplementedError, match="str has no word"):
        words.of("text")
    with pytest.raises(AssertionError, match="int has two words"):
        words.put("again", int)


def test_every_module_in_a_folder_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "filled_by_files"
    folder.mkdir()
    for name in ("__init__", "one", "other"):
        (folder / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    import_modules("filled_by_files")
    assert {"filled_by_files.one", "filled_by_files.other"} <= set(sys.modules)


def test_every_source_that_a_spec_may_name_has_a_reader_of_its_own() -> None:
    sources = SETTINGS["source"].values()
    assert len({READERS.of(object.__new__(cls)) for cls in sources}) == len(sources)


def test_a_decorator_enters_a_function_and_leaves_it_as_it_is() -> None:
    words: ByType[object] = ByType("word")

    @words.adds(int, str)
    def of_both() -> None: ...

    assert words.of(1) is words.of("") is of_both
