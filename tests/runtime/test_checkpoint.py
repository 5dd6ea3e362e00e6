"""The content of checkpoints and weights: all of it comes back, and another net's or a damaged one is refused."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from runtime_fakes import FakeNetwork, digits_model, parameters, saved

from cnnspec.compiler import Compiler
from cnnspec.errors import DataError
from cnnspec.ops.activation import Relu, Tanh
from cnnspec.options import Options
from cnnspec.runtime import checkpoint as module
from cnnspec.runtime.checkpoint import Progress, load_checkpoint, load_weights, save_checkpoint


def test_everything_comes_back_to_the_bit(tmp_path):
    model = digits_model()
    path = saved(tmp_path, model)
    back = load_checkpoint(path, model)
    for name, value in parameters(model).items():
        assert (back.parameters[name] == value).all() and back.parameters[name].dtype == value.dtype
    assert back.optimizer.keys() == {"dense1.weight", "dense1.bias"}
    assert back.progress == Progress(seed=1, epoch=3, step=7, loss_sum=0.1 + 0.2, history=[{"train.loss": 1 / 3}])


def rewrite(path, change):
    """Change our JSON text in a file, as another program or a person would: without a new SHA-256."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    with safe_open(str(path), framework="np") as opened:
        text = json.loads(opened.metadata()["cnnspec"])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    change(text)
    save_file(tensors, path, {"cnnspec": json.dumps(text, sort_keys=True)})


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
    "waited": ["1 s", None],
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


LATER = ("waited",)  # which older checkpoints lack


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, v) for name, values in WRONG.items() for v in (*values, *([] if name in LATER else [GONE]))],
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


def test_a_network_asks_for_all_states_of_its_optimizer():
    from cnnspec.runtime.network import Network

    network = Network(Compiler.of(digits_model(), Options(batch=4)))
    states = network.optimizer_state()
    for name in states:
        with pytest.raises(DataError) as caught:
            network.load_optimizer_state({key: value for key, value in states.items() if key != name})
        assert caught.value.field == name


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
