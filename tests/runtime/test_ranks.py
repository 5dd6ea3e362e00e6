"""Several ranks share each step: every one of them ends with the bits of one process that takes the steps alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from cnnspec.compiler import Compiler
from cnnspec.options import Options
from cnnspec.plan.exchange import Exchange, exchanges, samples_of
from cnnspec.plan.plan import SHARDS, Plan
from cnnspec.runtime.network import Draw, Network, StepResult
from cnnspec.runtime.runner import Runner

BATCH = 20
SIZES = (20, 20, 7, 3, 1, 20)  # samples of each step: fewer than a batch, fewer than shards, fewer than ranks
SGD = "train {\noptimizer sgd lr=0.05 momentum=0.9 nesterov=yes decay=1e-4\n}\n"
ADAM = "train {\noptimizer adamw lr=0.003\n}\n"

NETS = {
    "lenet": "input 16x16x1\nconv 6 5x5 -> tanh -> avgpool 2\nconv 16 3x3 -> tanh -> avgpool 2\n"
    "flatten -> dense 84 -> tanh -> dense 5\n" + ADAM,
    "batch norm, residual, dropout": "input 8x8x3\nconv 16 3x3 bias=no -> bn -> relu\nresidual {\n"
    "conv 16 3x3 bias=no -> bn -> relu\nconv 16 3x3 bias=no -> bn\n}\nrelu -> dropout 0.3\n"
    "depthwise 3x3 stride=2 bias=no -> bn -> relu6\nflatten -> dropout 0.5 -> dense 5\n" + SGD,
    "concat of all before": "input 8x8x3\nconv 8 3x3\n"
    "repeat 3 {\nconcat {\n| identity\n| bn -> relu -> conv 4 3x3\n}\n}\n"
    "bn -> relu -> avgpool global -> flatten -> dense 5\n" + SGD,
    "filters cut into blocks": "input 8x8x8\nflatten -> dense 300 -> relu -> dense 600 -> relu -> dense 5\n" + ADAM,
    "winograd in stages": "input 4x5x16\nconv 192 3x3 -> relu -> conv 192 3x3 -> bn -> relu\n"
    "avgpool global -> flatten -> dense 5\n" + SGD,
}  # fmt: skip


class Step(NamedTuple):
    """The arrays of one step."""

    x: np.ndarray
    target: np.ndarray
    ids: np.ndarray

    def only(self, samples: range) -> Step:
        """Return the arrays with other samples made useless."""
        theirs = [i for i in range(len(self.x)) if i not in samples]
        x, target, ids = (a.copy() for a in self)
        x[theirs], target[theirs], ids[theirs] = np.nan, 0, -1
        return Step(x, target, ids)


def network(name: str, threads: int = 1, **options: object) -> Network:
    compiler = Compiler.from_text(NETS[name], options=Options(batch=BATCH, **options))
    return Network(compiler, seed=3, threads=threads)


def steps(net: Network) -> Iterator[Step]:
    rng = np.random.default_rng(7)
    for n in SIZES:
        x = rng.standard_normal((n, *net.model.input_shape), dtype=np.float32)
        yield Step(x, rng.integers(0, 5, n), rng.integers(0, 1000, n))


def shares(ranks: int) -> list[range]:
    return [range(r * SHARDS // ranks, (r + 1) * SHARDS // ranks) for r in range(ranks)]


def run_together(runners: list[Runner], n: int) -> None:
    """Run a plan on all ranks in turn, from barrier to barrier, and copy at each barrier."""
    owned = shares(len(runners))
    for needed in zip(*(r.share(n, own) for r, own in zip(runners, owned, strict=True)), strict=True):
        assert len({len(exchange) for exchange in needed}) == 1
        for mine, runner in zip(needed, runners, strict=True):
            for theirs, other, own in zip(needed, runners, owned, strict=True):
                if other is not runner:
                    for a, b in zip(mine, theirs, strict=True):
                        runner.part(a, n, own)[...] = other.part(b, n, own)


def state(net: Network) -> dict[str, np.ndarray]:
    return {**net.parameters(), **net.optimizer_state()}


@cache
def alone(name: str) -> tuple[dict[str, np.ndarray], list[StepResult]]:
    """Return parameters and states after the steps of one process, and what each step gave."""
    net = network(name)
    first = net.parameters()
    results = [net.train_step(s.x, s.target, lr=0.02, draw=Draw(1, s.ids)) for s in steps(net)]
    assert np.isfinite([r.loss for r in results]).all() and any(r.correct for r in results)
    for key, value in net.parameters().items():
        assert not np.array_equal(value, first[key]), f"{key} was never trained"
    return state(net), results


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize(("ranks", "threads"), [(1, 1), (2, 1), (3, 2), (4, 1), (8, 1)])
def test_weights_of_every_rank_are_those_of_one_process(name: str, ranks: int, threads: int) -> None:
    want, results = alone(name)
    nets = [network(name, threads) for _ in range(ranks)]
    for step, result in zip(steps(nets[0]), results, strict=True):
        n = len(step.x)
        for net, own in zip(nets, shares(ranks), strict=True):
            mine = step.only(samples_of(own, n))
            net.begin_step(mine.x, mine.target, lr=0.02, draw=Draw(1, mine.ids))
        run_together([net.training for net in nets], n)
        assert [net.end_step(n) for net in nets] == [result] * ranks
    for rank, net in enumerate(nets):
        for key, value in state(net).items():
            assert value.tobytes() == want[key].tobytes(), (rank, key)


@pytest.mark.parametrize("name", NETS)
def test_gradients_of_every_rank_are_those_of_one_process(name: str) -> None:
    """In a plan without an optimizer, each rank gets the results of all."""
    net = network(name)
    plan = net.compiler.trace_plan([p for p, v in net.model.params.items() if v.trainable], gradients=True)
    runners = [net._runner(plan) for _ in range(3)]
    step = next(steps(net))
    for runner in runners:
        net._feed(runner, step.x, step.target)
        runner.view(plan.inputs["step"])[0, 0] = 1 / BATCH
    runners[0].run(BATCH)
    results = [*plan.outputs.values(), *(b for b, _ in plan.gradients.values())]
    want = [runners[0].view(b).copy() for b in results]
    run_together(runners[1:], BATCH)
    for runner in runners[1:]:
        for b, value in zip(results, want, strict=True):
            assert np.array_equal(runner.view(b), value), b.name


@pytest.mark.parametrize("name", NETS)
def test_predictions_of_every_rank_are_those_of_one_process(name: str) -> None:
    want, *nets = (network(name) for _ in range(5))
    for n in (BATCH, 3):
        x = next(steps(want)).x[:n]
        for net in nets:
            net.inference.give(x)
        run_together([net.inference for net in nets], n)
        for net in nets:
            assert net._outputs(n).tobytes() == want.predict(x).tobytes()


def kinds(plan: Plan, *, by_shard: bool) -> list[Exchange]:
    return [e for needed in exchanges(plan) for e in needed if e.by_shard is by_shard]


def test_small_nets_exchange_sums_and_losses_alone() -> None:
    """What grows with the batch stays where it is."""
    net = network("batch norm, residual, dropout")
    plan = net.compiler.plan
    values = {e.buffer.name for e in kinds(plan, by_shard=False)}
    assert values == {plan.outputs[result].name for result in ("loss", "correct", "logits")}
    summed = {e.buffer.name for e in kinds(plan, by_shard=True)}
    assert summed >= {b.name for b, copies in plan.gradients.values() if copies == SHARDS}
    assert any(name.startswith("stats") for name in summed)
    assert len(exchanges(plan)) == len(plan.segments) + 1


def test_blocks_that_see_the_whole_batch_say_so() -> None:
    plan = network("filters cut into blocks").compiler.plan
    assert {"x"} <= {e.buffer.name for e in kinds(plan, by_shard=False)}
    plan = network("winograd in stages").compiler.plan
    tiles = [e for e in kinds(plan, by_shard=False) if e.buffer.name.startswith("tiles")]
    assert tiles
    for e in tiles:
        offset, shape, strides = e.part(BATCH, range(2, 5))
        assert len(shape) == 3 and shape[0] == 36 and shape[2] == len(samples_of(range(2, 5), BATCH)) * e.step
        assert offset + sum((s - 1) * far for s, far in zip(shape, strides, strict=True)) < e.buffer.elements


def test_a_range_of_segments_runs_them_alone() -> None:
    """Run piece by piece, a plan does what it does in one call."""
    want, _ = alone("lenet")
    net = network("lenet")
    for step in steps(net):
        net.begin_step(step.x, step.target, lr=0.02, draw=Draw(1, step.ids))
        for s in range(len(net.training.plan.segments)):
            net.training.run(len(step.x), segments=range(s, s + 1))
        net.end_step(len(step.x))
    for key, value in state(net).items():
        assert value.tobytes() == want[key].tobytes(), key
