"""One road: what ``dump`` prints is what runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cnnspec.cli.dump import STAGES
from cnnspec.cli.main import run
from cnnspec.compiler import Compiler
from cnnspec.options import Options
from cnnspec.runtime import network as network_module
from cnnspec.runtime.network import Network

SPEC = "input 8x8x3\nconv 32 3x3 -> bn -> relu\nconv 32 3x3 -> relu\nmaxpool 2\nflatten -> dense 4\n"


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage.endswith("plan")])
def test_dump_prints_the_plan_that_runs(
    stage: str, exact: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = []

    class Runner(network_module.Runner):
        def run(self, n: int, **more: bool) -> None:
            ran.append(str(self.plan))  # as it is when it runs; the kernels are not needed

    monkeypatch.setattr(network_module, "Runner", Runner)
    network = Network(Compiler.from_text(SPEC, options=Options(batch=5, exact=exact)), threads=1)
    x, y = np.zeros((2, 8, 8, 3), np.float32), np.zeros(2, np.int32)
    {
        "plan": lambda: network.train_step(x, y, lr=0.1),
        "inference-plan": lambda: network.eval_step(x, y),
        "diagnosis-plan": lambda: network.diagnose(x, y),
    }[stage]()
    (tmp_path / "net.cnn").write_text(SPEC)
    more = ["--exact"] if exact else []
    assert run(["dump", str(tmp_path / "net.cnn"), "--stage", stage, "--batch", "5", *more]) == 0
    assert [capsys.readouterr().out] == ran


def test_options_reach_graphs_and_plans() -> None:
    compiler = Compiler.from_text(SPEC + "train {\n  loss mse\n  batch 7\n}\n")
    assert compiler.plan.batch == compiler.inference_plan.batch == 7
    other = compiler.with_options(batch=3, dtype="f64", target="f32")
    for plan in (other.plan, other.inference_plan, other.diagnosis_plan):
        assert (plan.batch, plan.dtype) == (3, "f64")
        assert plan.inputs["target"].dtype == "f64"
    assert other.with_options(exact=True).options == Options(batch=3, dtype="f64", target="f32", exact=True)
    assert other.model is compiler.model
    assert compiler.options == Options()
