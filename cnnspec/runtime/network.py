"""A net with weights: the plans of its graph and the steps that training and inference take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..autodiff import differentiate
from ..errors import DataError
from ..ir.build import build_graph
from ..ir.graph import Graph
from ..model.model import Model
from ..passes.base import run_pipeline
from ..passes.pipelines import FORWARD, INFERENCE, TRAINING
from ..plan.compile import compile_plan
from ..plan.plan import Plan
from .initialize import initial
from .optimizer import step_numbers, update_of
from .pack import pack, unpack
from .runner import NUMPY, Runner, allocate


@dataclass(frozen=True)
class StepResult:
    """Mean loss over the batch, and how many samples had the target's output largest."""

    loss: float
    correct: int


def training_graph(model: Model, target: str = "i32") -> Graph:
    """Return the graph of one training step without the optimizer: forward, loss and gradients."""
    graph = run_pipeline(build_graph(model, training=True, target=target), FORWARD)
    return run_pipeline(differentiate(graph), TRAINING)


def inference_graph(model: Model, target: str = "i32") -> Graph:
    """Return the graph of inference: batch norms folded, activations fused."""
    return run_pipeline(build_graph(model, training=False, target=target), INFERENCE)


def sample_keys(seed: int, epoch: int, sample_ids: np.ndarray) -> np.ndarray:
    """Return one random key int64 for each sample, a mix of seed, epoch and sample (SplitMix64's finaliser)."""
    with np.errstate(over="ignore"):
        z = np.asarray(sample_ids).astype(np.uint64) + np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64(epoch + 1) * np.uint64(0xD1B54A32D192ED03)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (z ^ (z >> np.uint64(31))).view(np.int64)


class Network:
    """A model with parameters, ready to train and to predict.

    Parameters
    ----------
    model : the checked spec.
    batch : most samples of a step.
    seed : of the initial weights and of dropout; the spec's when None.
    threads : how many; all cores when None. Results do not depend on it.
    dtype : ``f32``, or ``f64`` for checks of gradients.
    target : dtype of targets, ``i32`` for class numbers or ``f32`` for arrays [n, F] (mse).
    """

    def __init__(
        self,
        model: Model,
        *,
        batch: int,
        seed: int | None = None,
        threads: int | None = None,
        dtype: str = "f32",
        target: str = "i32",
    ) -> None:
        self.model, self.batch, self.dtype, self.target = model, batch, dtype, target
        self.seed = model.train.seed if seed is None else seed
        self.threads = threads
        self.steps = 0
        self._prepared = False
        self._memory = allocate(self._training_plan.parameters)
        self.load_parameters({name: initial(p, name, self.seed) for name, p in model.params.items()})

    @cached_property
    def _training_plan(self) -> Plan:
        graph = training_graph(self.model, self.target)
        return compile_plan(
            graph, batch=self.batch, dtype=self.dtype, update=update_of(self.model.train.optimizer)
        )

    @cached_property
    def _space(self) -> dict[str, int]:
        """Byte offset of each parameter and optimizer state."""
        return {name: b.offset for name, b in self._training_plan.buffers.items() if b.kind == "param"}

    @cached_property
    def training(self) -> Runner:
        """The plan of a training step."""
        return Runner(self._training_plan, self._memory, self.threads)

    @cached_property
    def inference(self) -> Runner:
        """The plan of a forward pass with running statistics."""
        graph = inference_graph(self.model, self.target)
        plan = compile_plan(graph, batch=self.batch, dtype=self.dtype, parameters=self._space)
        return Runner(plan, self._memory, self.threads)

    def compile(self, progress: Callable[[int, int], None] | None = None, training: bool = True) -> None:
        """Load the kernels of training (and always of inference); ``progress(done, total)`` while any compile."""
        runners = [self.training, self.inference] if training else [self.inference]
        from ..kernels.load import load_kernels

        load_kernels(list(dict.fromkeys(k for r in runners for k in r.plan.kernels)), progress)
        for runner in runners:
            runner.compile()

    # ---- steps ------------------------------------------------------------------------------------
    def train_step(
        self, x: np.ndarray, target: np.ndarray, *, lr: float, sample_ids: np.ndarray | None = None, epoch: int = 0
    ) -> StepResult:
        """Take one step of the optimizer on float32[n, H, W, C] and class numbers int32[n]; n may be below ``batch``.

        Where the loss is not finite, no weight changes.
        """
        n = len(x)
        if sample_ids is None:
            sample_ids = np.arange(n)
        self._feed(self.training, x, target)
        self.training.view(self.training.plan.inputs["keys"])[:n, 0] = sample_keys(self.seed, epoch, sample_ids)
        step = self.training.view(self.training.plan.inputs["step"])[0]
        for place, number in step_numbers(self.model.train.optimizer, lr, self.steps + 1, n).items():
            step[place] = number
        self.training.run(n)
        self._prepared = False
        result = self._totals(self.training, n)
        if np.isfinite(result.loss):
            self.steps += 1
        return result

    def eval_step(self, x: np.ndarray, target: np.ndarray) -> StepResult:
        """Return loss and hits in inference mode."""
        self._feed(self.inference, x, target)
        self._infer(len(x))
        return self._totals(self.inference, len(x))

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the net's outputs (logits) float32[n, F] for any number of samples float32[n, H, W, C]."""
        logits = self.inference.plan.outputs["logits"].name
        layout = self.inference.plan.layouts[logits]
        shape = self.model.output_shape
        out = np.empty((len(x), *shape), NUMPY[self.dtype])
        for start in range(0, len(x), self.batch):
            part = x[start : start + self.batch]
            self._feed(self.inference, part, None)
            self._infer(len(part))
            image = self.inference.image(logits)[: len(part)]
            out[start : start + len(part)] = image.reshape(len(part), -1)[:, : layout.channels * layout.height * layout.width].reshape(len(part), *shape)
        return out

    def _infer(self, n: int) -> None:
        self.inference.run(n, prepare=not self._prepared)
        self._prepared = True

    def _feed(self, runner: Runner, x: np.ndarray, target: np.ndarray | None) -> None:
        n = len(x)
        if x.shape[1:] != self.model.input_shape or not 0 < n <= self.batch:
            raise DataError(
                "the batch does not fit the net",
                expected=f"1 to {self.batch} samples of shape {self.model.input_shape}",
                found=f"{n} samples of shape {tuple(x.shape[1:])}",
            )
        runner.image("x")[:n] = x
        if target is not None:
            place = runner.view(runner.plan.inputs["target"])
            if self.target == "i32":
                place[:n, 0] = target
            else:
                place[:n, : target.shape[1]] = target

    def _totals(self, runner: Runner, n: int) -> StepResult:
        totals = runner.view(runner.plan.outputs["totals"])[0]
        hits = totals[1]
        return StepResult(float(totals[0]) / n, int(hits) if np.isfinite(hits) else 0)

    # ---- parameters -------------------------------------------------------------------------------
    def _slot(self, name: str) -> np.ndarray:
        b = self._training_plan.buffers[name]
        return self._memory[b.offset : b.offset + b.nbytes].view(NUMPY[self.dtype])[: b.elements]

    def parameters(self) -> dict[str, np.ndarray]:
        """Return all parameters as arrays of their own: HWIO filters, [F_in, F_out] dense weights."""
        return {name: unpack(self._slot(name), p.shape, p.groups) for name, p in self.model.params.items()}

    def load_parameters(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace all parameters; DataError names the first that is missing or has another shape."""
        self._fill(arrays, {name: name for name in self.model.params})
        self._prepared = False

    def optimizer_state(self) -> dict[str, np.ndarray]:
        """Return the optimizer's states as arrays, and the steps taken."""
        states = {"steps": np.array(self.steps, np.int64)}
        for slot, name in self._states().items():
            p = self.model.params[name]
            states[slot] = unpack(self._slot(slot), p.shape, p.groups)
        return states

    def load_optimizer_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the optimizer's states and the steps taken."""
        self._fill(arrays, self._states())
        self.steps = int(arrays["steps"])

    def _states(self) -> dict[str, str]:
        return {slot: slot.partition("@")[0] for slot in self._space if "@" in slot}

    def _fill(self, arrays: Mapping[str, np.ndarray], slots: Mapping[str, str]) -> None:
        for slot, name in slots.items():
            p = self.model.params[name]
            found = arrays.get(slot)
            if found is None or tuple(found.shape) != tuple(p.shape):
                raise DataError(
                    "the weights do not fit the net",
                    field=slot,
                    expected=f"shape {tuple(p.shape)}",
                    found="nothing" if found is None else f"shape {tuple(found.shape)}",
                )
        for slot, name in slots.items():
            if slot in self._training_plan.buffers:
                pack(np.asarray(arrays[slot], NUMPY[self.dtype]), self.model.params[name].groups, self._slot(slot))
