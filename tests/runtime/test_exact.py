"""``exact``: convolutions stay direct wherever a net runs, and a run keeps to what it began with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from test_train_real import assert_same

import cnnspec
from cnnspec.cli.main import run
from cnnspec.compiler import Compiler
from cnnspec.errors import DataError
from cnnspec.options import Options
from cnnspec.runtime import network as network_module
from cnnspec.runtime.network import Network
from cnnspec.runtime.runner import Runner
from cnnspec.runtime.train import train

SPEC = """input 8x8x1
conv 32 3x3 -> relu
conv 32 3x3 -> relu
maxpool 2
flatten
dense classes

data {
  source digits
  split  val=10%
}
train {
  optimizer sgd lr=0.02 momentum=0.9
  epochs    1
  batch     64
  keep best on=val.accuracy
}
"""


@pytest.fixture(scope="module")
def model():
    return Compiler.from_text(SPEC, name="net.cnn").model


@pytest.fixture(scope="module")
def alone(model, tmp_path_factory):
    """An exact run left alone."""
    return train(model, out=tmp_path_factory.mktemp("alone"), threads=1, options=Options(exact=True))


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.cnn").write_text(SPEC)
    return tmp_path


def winograd(kernels: list[str]) -> Iterator[str]:
    return (name for name in kernels if "winograd" in name)


@pytest.mark.parametrize("exact", [False, True])
def test_no_plan_of_an_exact_net_holds_a_winograd_kernel(model, exact: bool, monkeypatch) -> None:
    plans = []

    def runner(plan, *more):
        plans.append(plan)
        return Runner(plan, *more)

    monkeypatch.setattr(network_module, "Runner", runner)
    network = Network(Compiler.of(model, Options(batch=2, exact=exact)), threads=1)
    network.compile()
    network.diagnose(np.zeros((2, 8, 8, 1), np.float32), np.zeros(2, np.int32))
    assert len(plans) == 3  # of training, of inference, of the search for what is not finite
    assert [any(winograd(plan.kernels)) for plan in plans] == [not exact] * 3


def test_exact_is_the_same_function(model) -> None:
    x = np.random.default_rng(0).standard_normal((4, 8, 8, 1)).astype(np.float32)
    made = (Compiler.of(model, Options(batch=4, exact=exact)) for exact in (False, True))
    fast, exact = (Network(one, seed=1, threads=1).predict(x) for one in made)
    assert 0 < np.abs(fast - exact).max() / np.abs(exact).max() < 1e-5


def test_a_resumed_exact_run_goes_on_exactly(model, alone, tmp_path) -> None:
    stopped = train(model, out=tmp_path, stop_after_steps=7, threads=1, options=Options(exact=True))
    assert_same(train(model, resume=stopped.folder, threads=2), alone)
    with pytest.raises(AssertionError, match="differs"):
        assert_same(train(model, out=tmp_path, threads=1), alone)


def test_a_run_that_began_without_goes_on_without(model, tmp_path) -> None:
    whole = train(model, out=tmp_path / "whole", threads=1)
    stopped = train(model, out=tmp_path, stop_after_steps=7, threads=1)
    assert_same(train(model, resume=stopped.folder, threads=1, options=Options(exact=True)), whole)


def test_the_commands_take_it_and_follow_the_run(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "net.cnn", "--exact", "--steps", "3", "--out", "exact", "--quiet"]) == 0
    [folder] = (room / "exact").iterdir()
    assert json.loads((folder / "manifest.json").read_text())["exact"] is True
    assert run(["train", "--resume", str(folder), "--quiet"]) == 0
    capsys.readouterr()
    for arguments, wanted in (
        (["net.cnn"], True),
        (["net.cnn", "--exact"], False),
        ([str(folder)], False),  # as the run was trained
    ):
        assert run(["dump", *arguments, "--stage", "plan"]) == 0
        assert ("winograd" in capsys.readouterr().out) is wanted, arguments
    assert run(["eval", str(folder), "--json"]) == 0
    tested = json.loads((folder / "manifest.json").read_text())["result"]["test.loss"]
    assert json.loads(capsys.readouterr().out)["loss"] == tested
    assert run(["bench", "net.cnn", "--exact", "--repeats", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exact"] is True


def test_a_run_cannot_become_exact(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "net.cnn", "--steps", "1", "--quiet"]) == 0
    [folder] = (room / "runs").iterdir()
    assert run(["train", "--resume", str(folder), "--exact"]) == 2
    assert "--exact cannot change when a run goes on" in capsys.readouterr().err


def test_the_python_front_takes_it(alone, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    wrapped = Network.__init__

    def init(self, compiler, **more) -> None:
        made.append(compiler.options.exact)
        wrapped(self, compiler, **more)

    monkeypatch.setattr(Network, "__init__", init)
    x = np.zeros((1, 8, 8, 1), np.float32)
    net = cnnspec.parse(SPEC, exact=True)
    net.predict(x)
    net.train()
    cnnspec.load(alone.folder).predict(x)  # as the run was trained
    cnnspec.parse(SPEC).predict(x)
    assert made == [True, True, True, False]
    with pytest.raises(DataError):
        cnnspec.load("nowhere.cnn", exact=True)
