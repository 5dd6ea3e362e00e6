"""The files that weights and checkpoints lie in: whole or refused, of any tool, written in one go."""

from __future__ import annotations

import errno
import json
import os
import random
import stat

import numpy as np
import pytest
from runtime_fakes import digits_model, parameters, saved

from cnnspec.errors import DataError, MachineError
from cnnspec.runtime.checkpoint import load_checkpoint, load_weights, save_checkpoint


def test_a_transposed_weight_is_saved_as_it_reads(tmp_path):
    model = digits_model()
    weight = np.arange(640, dtype=np.float32).reshape(10, 64).T
    assert not weight.flags.c_contiguous
    step = np.array(5, np.int64)
    save_checkpoint(tmp_path / "w.safetensors", model, {**parameters(model), "dense1.weight": weight}, {"steps": step})
    back = load_checkpoint(tmp_path / "w.safetensors", model)
    assert (back.parameters["dense1.weight"] == weight).all()
    assert back.optimizer["steps"].shape == () and back.optimizer["steps"] == 5


def test_equal_content_gives_equal_bytes(tmp_path):
    model = digits_model()
    assert saved(tmp_path, model, "a").read_bytes() == saved(tmp_path, model, "b").read_bytes()


def test_the_file_mode_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        path = saved(tmp_path, digits_model())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_cut_short(tmp_path, keep):
    model = digits_model()
    path = saved(tmp_path, model)
    save_checkpoint(tmp_path / "best.safetensors", model, parameters(model))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError) as caught:
        load_checkpoint(path, model)
    assert "cut short" in caught.value.message and caught.value.path == path
    assert caught.value.hint.startswith(f"use {tmp_path / 'best.safetensors'} (weights for eval and predict")
    (tmp_path / "best.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match="no other checkpoint"):
        load_checkpoint(path, model)


def test_any_wrong_bit_is_seen(tmp_path):
    """In tensors, in the names and shapes, in our text: never other weights, nor another step to go on from."""
    model = digits_model()
    path = saved(tmp_path, model)
    save_checkpoint(tmp_path / "best.safetensors", model, parameters(model))
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    want = load_checkpoint(path, model)
    in_header, in_tensors = range(8 * header), range(8 * header, 8 * len(whole))
    for place in [*random.Random(1).sample(in_header, 700), *random.Random(2).sample(in_tensors, 50)]:
        spoilt = bytearray(whole)
        spoilt[place // 8] ^= 1 << place % 8
        path.write_bytes(spoilt)
        try:  # the last digit of a float's text may change without changing the float
            assert load_checkpoint(path, model).progress == want.progress and place < 8 * header
            continue
        except DataError as error:
            caught = error
        if place >= 8 * header:
            assert "has changed since it was written" in caught.message
            assert caught.hint.startswith(f"use {tmp_path / 'best.safetensors'} (weights for")
        try:  # weights alone may be read as those of another tool, where the bit hides that they are ours
            back = load_weights(path, model)
        except DataError:
            continue
        assert all((back[name] == value).all() for name, value in want.parameters.items()), place


def test_a_neighbour_with_a_wrong_bit_is_not_offered(tmp_path):
    model = digits_model()
    path = saved(tmp_path, model)
    save_checkpoint(tmp_path / "best.safetensors", model, parameters(model))
    for file in (path, tmp_path / "best.safetensors"):
        content = bytearray(file.read_bytes())
        content[-5] ^= 1
        file.write_bytes(content)
    with pytest.raises(DataError, match="no other checkpoint lies beside it"):
        load_checkpoint(path, model)


def raw_file(path, tensors, shorten=0):
    """Write tensors {name: (dtype, shape, bytes)} as any tool may."""
    header, body = {}, b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + body
    path.write_bytes(content[: len(content) - shorten])


def halves(value):
    """float32 cut to bfloat16."""
    return (np.ascontiguousarray(value).view(np.uint32) >> 16).astype(np.uint16)


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F64"])
def test_other_floats_are_widened_or_narrowed(tmp_path, dtype):
    model = digits_model()
    path = tmp_path / "w.safetensors"
    tensors, want = {}, {}
    for name, value in parameters(model).items():
        raw = halves(value) if dtype == "BF16" else value.astype({"F16": np.float16, "F64": np.float64}[dtype])
        tensors[name] = (dtype, value.shape, raw.tobytes())
        want[name] = (raw.astype(np.uint32) << 16).view(np.float32) if dtype == "BF16" else raw.astype(np.float32)
    raw_file(path, tensors)
    back = load_weights(path, model)
    for name, value in want.items():
        assert back[name].dtype == np.float32 and (back[name] == value).all()
        assert np.allclose(back[name], parameters(model)[name], rtol=2**-7)
    raw_file(path, tensors, shorten=1)
    with pytest.raises(DataError, match="cut short"):
        load_weights(path, model)


def test_numbers_beyond_float32_are_refused(tmp_path):
    model = digits_model()
    path = tmp_path / "w.safetensors"
    good = {n: ("F64", v.shape, v.astype(np.float64).tobytes()) for n, v in parameters(model).items()}
    raw_file(path, {**good, "dense1.bias": ("F64", (10,), np.array([1e300] + [np.nan] * 9).tobytes())})
    with pytest.raises(DataError, match="does not fit float32") as caught:
        load_weights(path, model)
    assert (caught.value.field, caught.value.found) == ("dense1.bias", "1e+300")
    raw_file(path, {**good, "dense1.bias": ("F64", (10,), np.full(10, np.inf).tobytes())})
    assert np.isinf(load_weights(path, model)["dense1.bias"]).all()


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F4", "C64", "F99"])
def test_dtypes_that_are_not_read_are_named_and_the_file_is_called_whole(tmp_path, dtype):
    """F99: one that the library itself does not know."""
    model = digits_model()
    path = tmp_path / "w.safetensors"
    bits = {"F4": 4, "C64": 64}.get(dtype, 8)
    raw_file(path, {n: (dtype, v.shape, bytes(v.size * bits // 8)) for n, v in parameters(model).items()})
    with pytest.raises(DataError, match=f"dtype {dtype} are not read") as caught:
        load_weights(path, model)
    assert caught.value.field in parameters(model) and "BF16" in caught.value.expected
    assert "the file is whole" in caught.value.hint and "train anew" not in str(caught.value)


def test_not_a_safetensors_file(tmp_path):
    path = tmp_path / "last.safetensors"
    path.write_bytes(b"PK\x03\x04 something else entirely")
    with pytest.raises(DataError, match="not a safetensors file") as caught:
        load_checkpoint(path, digits_model())
    assert "PK" in caught.value.found


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load_checkpoint(tmp_path / "last.safetensors", digits_model())


def test_metadata_is_one_key_of_json(tmp_path):
    from safetensors import safe_open

    with safe_open(str(saved(tmp_path, digits_model())), framework="np") as opened:
        metadata = opened.metadata()
        assert set(opened.keys()) >= {"dense1.weight", "optimizer/dense1.weight"}
    assert list(metadata) == ["cnnspec"]
    assert json.loads(metadata["cnnspec"])["net"][0] == "input 8x8x1"


@pytest.mark.parametrize("call", ["open", "fsync", "replace", "chmod"])
def test_a_full_disk_keeps_the_old_file_and_leaves_no_other(tmp_path, monkeypatch, call):
    model = digits_model()
    path = saved(tmp_path, model)
    before = path.read_bytes()

    def full(*args, **more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(MachineError, match="disk is full") as caught:
        save_checkpoint(path, model, parameters(model, seed=2))
    monkeypatch.undo()
    assert caught.value.path == path and "kept" in caught.value.message and "bytes" in caught.value.expected
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]
    load_checkpoint(path, model)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def read_only(*args, **more):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(MachineError, match="cannot be written") as caught:
        saved(tmp_path, digits_model())
    assert "Read-only" in caught.value.found and "--out" in caught.value.hint
