from __future__ import annotations

import dataclasses
import errno
import json
import os
import random
import stat
import subprocess
import sys

import numpy as np
import pytest
from runtime_fakes import FakeNetwork, digits_model

from cnnspec.compiler import Compiler
from cnnspec.errors import DataError, MachineError
from cnnspec.ops.activation import Relu, Tanh
from cnnspec.options import Options
from cnnspec.runtime import checkpoint as module
from cnnspec.runtime.checkpoint import (
    Progress,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)


def parameters(model, seed=1):
    return FakeNetwork(Compiler.of(model, Options(batch=1)), seed=seed).parameters()


def saved(tmp_path, model, name="last.safetensors"):
    path = tmp_path / name
    network = FakeNetwork(Compiler.of(model, Options(batch=1)), seed=1)
    progress = Progress(seed=1, epoch=3, step=7, loss_sum=0.1 + 0.2, history=[{"train.loss": 1 / 3}])
    save_checkpoint(path, model, network.parameters(), network.optimizer_state(), progress)
    return path


def test_everything_comes_back_to_the_bit(tmp_path):
    model = digits_model()
    path = saved(tmp_path, model)
    back = load_checkpoint(path, model)
    for name, value in parameters(model).items():
        assert (back.parameters[name] == value).all() and back.parameters[name].dtype == value.dtype
    assert back.optimizer.keys() == {"dense1.weight", "dense1.bias"}
    assert back.progress == Progress(seed=1, epoch=3, step=7, loss_sum=0.1 + 0.2, history=[{"train.loss": 1 / 3}])


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


def rewrite(path, change):
    """Change our JSON text in a file, as another program or a person would: without a new SHA-256."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    with safe_open(str(path), framework="np") as opened:
        text = json.loads(opened.metadata()["cnnspec"])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    change(text)
    save_file(tensors, path, {"cnnspec": json.dumps(text, sort_keys=True)})


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


def test_files_of_the_first_version_have_no_proof_and_are_read(tmp_path):
    model = digits_model()
    path = saved(tmp_path, model)
    rewrite(path, lambda text: (text.update(version=1), text.pop("sha256")))
    assert load_checkpoint(path, model).progress.epoch == 3
    rewrite(path, lambda text: text.update(version=2))
    with pytest.raises(DataError, match="sha256"):
        load_checkpoint(path, model)


@pytest.mark.parametrize("text", [
    {"version": "2"}, {"version": None}, {"version": 1.5}, {"version": True}, {"version": 0}, {"net": 5}, {"net": [5]},
    {"net": None}, {"net": {"a": "b"}},
])  # fmt: skip
def test_text_of_other_types_is_an_error_of_the_file(tmp_path, text):
    model = digits_model()
    path = saved(tmp_path, model)
    rewrite(path, lambda t: (t.update(version=1), t.pop("sha256"), t.update(text)))
    [key] = text
    for read in (load_checkpoint, load_weights):
        with pytest.raises(DataError, match="damaged") as caught:
            read(path, model)
        assert caught.value.field == f"metadata {key}" and caught.value.found == repr(text[key])


GONE = object()


WRONG = {
    "epoch": [1e9, "1", 0, True, None, 2**70],
    "step": [-3, 2.0],
    "loss_sum": ["x", float("nan"), 10**400],
    "correct": [[]],
    "images": [None],
    "seconds": ["1 s"],
    "best": [
        5,
        {"metric": "val.loss"},
        {"metric": 1, "value": 1, "epoch": 1},
        {"metric": "val.loss", "value": 1, "epoch": 0},
    ],
    "history": ["x", [1], [{"epoch": "1"}], None],
    "settings": [[], {"batch": 5}],
    "data": [7],
    "seed": [-1, "1"],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, v) for name, values in WRONG.items() for v in (*values, GONE)],
    ids=lambda v: "nothing" if v is GONE else str(v)[:30],
)
def test_a_state_of_training_of_other_types_is_an_error_of_the_file(tmp_path, name, value):
    model = digits_model()
    path = saved(tmp_path, model)

    def change(text):
        text["version"] = 1
        del text["sha256"]
        if value is GONE:
            del text["progress"][name]
        else:
            text["progress"][name] = value

    rewrite(path, change)
    with pytest.raises(DataError, match="state of training") as caught:
        load_checkpoint(path, model)
    assert caught.value.field == f"progress.{name}"
    assert load_weights(path, model).keys() == parameters(model).keys(), "the weights are as good as before"


@pytest.mark.parametrize("state", [[], "x", 5, True])
def test_a_state_that_is_no_object(tmp_path, state):
    path = saved(tmp_path, digits_model())
    rewrite(path, lambda text: (text.update(version=1, progress=state), text.pop("sha256")))
    with pytest.raises(DataError, match="state of training"):
        load_checkpoint(path, digits_model())


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


def test_a_network_asks_for_all_states_of_its_optimizer():
    from cnnspec.runtime.network import Network

    network = Network(Compiler.of(digits_model(), Options(batch=4)))
    states = network.optimizer_state()
    for name in states:
        with pytest.raises(DataError) as caught:
            network.load_optimizer_state({key: value for key, value in states.items() if key != name})
        assert caught.value.field == name


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


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("steps", np.zeros(3, np.int64), "int64 3"),
        ("steps", np.array(np.nan), "nan"),
        ("steps", np.array(-5), "-5"),
        ("steps", np.array(2**60), str(2**60)),
        ("dense1.bias", np.zeros(10, np.int32), "int32"),
        ("dense1.bias", np.zeros(10, bool), "bool"),
        ("dense1.bias", np.full(10, -1e300), "-1e+300"),
    ],
)
def test_states_of_the_optimizer_of_other_kinds_are_refused(tmp_path, name, value, found):
    model = digits_model()
    path = tmp_path / "last.safetensors"
    network = FakeNetwork(Compiler.of(model, Options(batch=1)))
    states = {"steps": np.array(3), **network.optimizer_state()}
    save_checkpoint(path, model, network.parameters(), states, Progress(seed=1))
    assert load_checkpoint(path, model).optimizer["steps"] == 3
    save_checkpoint(path, model, network.parameters(), {**states, name: value}, Progress(seed=1))
    with pytest.raises(DataError) as caught:
        load_checkpoint(path, model)
    assert (caught.value.path, caught.value.field, caught.value.found) == (path, name, found)


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
        load_checkpoint(path)
    assert "PK" in caught.value.found


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        load_checkpoint(tmp_path / "last.safetensors")


def test_a_safetensors_file_of_someone_else(tmp_path):
    from safetensors.numpy import save_file

    model = digits_model()
    save_file(parameters(model), tmp_path / "w.safetensors", {"format": "np"})
    with pytest.raises(DataError, match="not written by cnnspec") as caught:
        load_checkpoint(tmp_path / "w.safetensors", model)
    assert caught.value.found == "format"
    back = load_weights(tmp_path / "w.safetensors", model)  # bare weights ask for names and shapes only
    assert (back["dense1.weight"] == parameters(model)["dense1.weight"]).all()


def test_newer_version(tmp_path, monkeypatch):
    model = digits_model()
    monkeypatch.setattr(module, "VERSION", 9)
    path = saved(tmp_path, model)
    monkeypatch.undo()
    with pytest.raises(DataError, match="newer cnnspec") as caught:
        load_checkpoint(path, model)
    assert caught.value.found == "9"


def test_of_another_spec_names_the_layer_that_differs(tmp_path):
    path = saved(tmp_path, digits_model())
    with pytest.raises(DataError, match="belongs to another spec") as caught:
        load_checkpoint(path, digits_model(units=12))
    assert caught.value.field == "layer dense1"
    assert "12" in caught.value.expected and caught.value.found.endswith("-> 10")
    model = digits_model()
    act = dataclasses.replace(model.layers[1], name="act", inputs=("dense1",), in_shapes=((10,),))
    relu = dataclasses.replace(model, layers=(*model.layers, dataclasses.replace(act, op=Relu())), output="act")
    tanh = dataclasses.replace(model, layers=(*model.layers, dataclasses.replace(act, op=Tanh())), output="act")
    with pytest.raises(DataError) as caught:
        load_checkpoint(path, relu)
    assert (caught.value.field, caught.value.found) == ("layer act", "no further layer")
    save_checkpoint(tmp_path / "relu", relu, parameters(relu))
    with pytest.raises(DataError) as caught:
        load_checkpoint(tmp_path / "relu", tanh)
    assert "tanh" in caught.value.expected and "relu" in caught.value.found
    with pytest.raises(DataError, match="belongs to another spec"):
        load_weights(tmp_path / "relu", tanh)
    assert load_weights(tmp_path / "relu", tanh, any_net=True).keys() == parameters(tanh).keys()
    with pytest.raises(DataError) as caught:
        load_checkpoint(tmp_path / "relu", model)
    assert (caught.value.field, caught.value.expected) == ("layer act", "no further layer")


def test_weights_that_do_not_fit(tmp_path):
    from safetensors.numpy import save_file

    model = digits_model()
    good = parameters(model)
    path = tmp_path / "w.safetensors"

    def refused(tensors):
        save_file(tensors, path)
        with pytest.raises(DataError) as caught:
            load_weights(path, model)
        return caught.value

    error = refused({**good, "dense1.weight": np.zeros((64, 12), np.float32)})
    assert (error.field, error.expected, error.found) == ("dense1.weight", "64x10", "64x12")
    error = refused({"dense1.weigth": good["dense1.weight"], "dense1.bias": good["dense1.bias"]})
    assert error.field == "dense1.weight" and "there is dense1.weigth" in error.found
    error = refused({**good, "dense2.bias": good["dense1.bias"]})
    assert error.field == "dense2.bias"
    error = refused({**good, "dense1.bias": np.zeros(10, np.int32)})
    assert (error.field, error.found) == ("dense1.bias", "int32")


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


LIMITED = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from runtime_fakes import digits_model
from cnnspec.errors import MachineError
from cnnspec.runtime.files import write_atomically
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_atomically(Path(sys.argv[1]), b"new" * 100_000)
except MachineError as error:
    print(error.message)
"""


def test_a_write_that_the_system_really_refuses(tmp_path):
    """A limit on the file size stops the write half way, as a full disk does."""
    path = tmp_path / "last.safetensors"
    path.write_bytes(b"old")
    here = os.path.dirname(__file__)
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path), here], capture_output=True, text=True, check=True)
    assert "disk is full" in done.stdout
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def read_only(*args, **more):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(MachineError, match="cannot be written") as caught:
        saved(tmp_path, digits_model())
    assert "Read-only" in caught.value.found and "--out" in caught.value.hint
