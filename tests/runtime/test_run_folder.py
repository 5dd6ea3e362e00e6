from __future__ import annotations

import dataclasses
import json
import re

import pytest
from runtime_fakes import TEXT, digits_model

from cnnspec.errors import DataError, MachineError
from cnnspec.runtime.run_folder import base_of, new_run_folder, open_run_folder, run_of


def make(tmp_path, **changes):
    model = dataclasses.replace(digits_model(name="specs/my net.cnn"), **changes)
    made = new_run_folder(tmp_path / "runs", model, {"sha256": "abc", "class_names": ["a", "b"]}, threads=2)
    return made.settle()


def test_name_and_content(tmp_path):
    folder = make(tmp_path, settings=(("width", "0.5"), ("train.epochs", "3")))
    assert re.fullmatch(r"my-net-\d{8}-\d{6}", folder.path.name)
    again = open_run_folder(folder.path)
    assert again.spec_path.read_text() == TEXT
    assert again.settings == (("width", "0.5"), ("train.epochs", "3"))
    manifest = again.manifest
    assert manifest["seed"] == 1 and manifest["data_sha256"] == "abc" and manifest["threads"] == 2
    assert manifest["class_names"] == ["a", "b"]
    assert manifest["versions"].keys() >= {"cnnspec", "numpy", "numba", "python"}
    assert manifest["machine"]["cpu"]
    assert len(manifest["spec_sha256"]) == len(manifest["net_sha256"]) == 64


def test_two_runs_in_one_second_have_two_folders(tmp_path, monkeypatch):
    monkeypatch.setattr("time.strftime", lambda form, *now: "20260101-120000")
    names = [make(tmp_path).path.name for _ in range(3)]
    assert names == [f"my-net-20260101-120000{tail}" for tail in ("", "-2", "-3")]


def test_set_values_change_the_spec_hash_but_not_the_net(tmp_path):
    plain, changed = make(tmp_path), make(tmp_path, settings=(("train.epochs", "3"),))
    assert plain.manifest["spec_sha256"] != changed.manifest["spec_sha256"]
    assert plain.manifest["net_sha256"] == changed.manifest["net_sha256"]


def test_weights_are_the_best_where_kept_else_the_last(tmp_path):
    folder = make(tmp_path)
    with pytest.raises(DataError, match="no checkpoint yet"):
        run_of(folder.path)
    folder.last.write_bytes(b"")
    assert run_of(folder.path)[1] == folder.last
    folder.best.write_bytes(b"")
    assert run_of(folder.path)[1] == folder.best
    found, weights = run_of(folder.last)
    assert found.path == folder.path and weights == folder.last


def test_folders_that_are_no_runs(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match="not a run folder") as caught:
        open_run_folder(tmp_path)
    assert "notes.txt" in caught.value.found and "spec.cnn" in caught.value.expected
    with pytest.raises(DataError, match="does not exist"):
        open_run_folder(tmp_path / "nothing")
    with pytest.raises(DataError, match="does not exist"):
        run_of(tmp_path / "last.safetensors")


def test_damaged_manifest(tmp_path):
    folder = make(tmp_path)
    (folder.path / "manifest.json").write_text('{"spec": ')
    with pytest.raises(DataError, match=r"manifest cannot be read") as caught:
        _ = open_run_folder(folder.path).settings
    assert caught.value.path.name == "manifest.json"


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("set", 5),
        ("set", "x"),
        ("set", [5]),
        ("set", [["a"]]),
        ("set", [["a", 5]]),
        ("set", {"a": "b"}),
        ("exact", "yes"),
        ("exact", 1),
        ("base", 7),
        ("base", "a\0b"),
        ("base", None),
        ("spec", ["net.cnn"]),
        ("class_names", "abc"),
        ("class_names", [1, 2]),
        ("data_sha256", 12),
        ("data", "digits"),
        ("result", [1]),
    ],
)
def test_a_manifest_of_other_types_is_an_error_of_that_entry(tmp_path, entry, value):
    folder = make(tmp_path)
    file = folder.path / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), entry: value}))
    with pytest.raises(DataError, match="the manifest is damaged") as caught:
        _ = open_run_folder(folder.path).settings
    assert (caught.value.path, caught.value.field) == (file, entry) and caught.value.expected


@pytest.mark.parametrize("content", ["[]", "5", "null", '{"set": ' + "[" * 100_000, "\x00", "{" + '"a":1' * 10])
def test_a_manifest_of_another_kind(tmp_path, content):
    folder = make(tmp_path)
    (folder.path / "manifest.json").write_text(content)
    with pytest.raises(DataError, match="manifest"):
        _ = open_run_folder(folder.path).manifest


def test_out_that_is_a_file(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(MachineError, match="cannot be written"):
        make(tmp_path)


def test_base_is_the_folder_of_the_spec(tmp_path):
    file = tmp_path / "a.cnn"
    file.write_text(TEXT)
    assert base_of(digits_model(name=str(file))) == tmp_path
    assert base_of(digits_model(name="<text>")).is_dir()
