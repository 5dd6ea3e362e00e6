"""A net with weights: the plans of its graph and the steps that training and inference take."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..abi import STEP
from ..compiler import Compiler
from ..errors import DataError
from ..ir.fields import Param
from ..ir.graph import STEP_STRIDE
from ..kernels.effort import Progress
from ..lower.values import parameter_size, parameter_space
from ..plan.plan import STATE, Plan
from ..turns import InTurn, in_turn
from .checkpoint import STEPS
from .heard import load_kernels
from .held import Held
from .initialize import initial_parameters
from .pack import pack, unpack
from .runner import NUMPY, TAKERS, WALKERS, Runner, allocate
from .trace import Trace, activation, gradient, names_to_trace

Slots = dict[str, tuple[np.ndarray, Param]]  # the memory that a parameter, or a state for it, lies in


@dataclass(frozen=True)
class StepResult:
    """Mean loss over the batch, how many samples had the target's output largest, and the outputs where asked for."""

    loss: float
    correct: int
    outputs: np.ndarray | None = None


class Draw(NamedTuple):
    """The epoch and the numbers int64[n] of samples: beside the seed, dropout's random numbers depend on them alone."""

    epoch: int
    samples: np.ndarray

    def keys(self, seed: int) -> np.ndarray:
        """Return one random key int64 for each sample, a mix of seed, epoch and sample (SplitMix64's finaliser)."""
        with np.errstate(over="ignore"):
            z = np.asarray(self.samples).astype(np.uint64) + np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)
            z += np.uint64(self.epoch + 1) * np.uint64(0xD1B54A32D192ED03)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            return (z ^ (z >> np.uint64(31))).view(np.int64)


class Network(InTurn):
    """A model with parameters, ready to train and to predict.

    Threads may share one: steps, predictions and changes of weights take turns, each on all threads of the kernels.

    Parameters
    ----------
    compiler : makes the plans; its ``options`` say for how many samples, on which numbers.
    parameters : first value of each parameter, as :meth:`load_parameters` takes them; drawn from the seed when None.
    seed : of the initial weights and of dropout; the spec's when None.
    threads : how many; all cores when None. Results do not depend on it.
    """

    def __init__(
        self,
        compiler: Compiler,
        *,
        parameters: Mapping[str, np.ndarray] | None = None,
        seed: int | None = None,
        threads: int | None = None,
    ) -> None:
        super().__init__()
        self.compiler, self.model, self.batch = compiler, compiler.model, compiler.batch
        self.dtype = NUMPY[compiler.options.dtype]
        self.seed = self.model.train.seed if seed is None else seed
        self.threads = threads
        self.steps = 0
        self._begun = {1: 0}  # the first epoch of each phase so far -> the steps before it
        self._prepared = False
        offsets, nbytes = parameter_space(self.model.params, compiler.options.dtype)
        self._memory = allocate(nbytes)
        numbers = self._memory.view(self.dtype)
        self._slots = {
            name: (numbers[offsets[name] // numbers.itemsize :][: parameter_size(p.shape, p.groups)], p)
            for name, p in self.model.params.items()
        }
        self.load_parameters(initial_parameters(self.model, self.seed) if parameters is None else parameters)

    @cached_property
    def training(self) -> Runner:
        """The plan of a training step."""
        return self._runner(self.compiler.plan)

    @cached_property
    def inference(self) -> Runner:
        """The plan of a forward pass with running statistics."""
        return self._runner(self.compiler.inference_plan)

    @cached_property
    def _held(self) -> Held:
        """The frozen output channels of parameters that learn."""
        return Held(self._slots, self.compiler.options.epoch)

    def _runner(self, plan: Plan) -> Runner:
        return Runner(plan, self._memory, self.threads)

    @in_turn
    def compile(self, progress: Progress | None = None, training: bool = True) -> None:
        """Load the kernels of training (and always of inference); ``progress(done, total, left)`` while any compile."""
        runners = [self.training, self.inference] if training else [self.inference]
        later = [self._of_phase(phase).plan for phase in self.model.phases[1:]] if training else []
        names = [*(k for plan in (*(r.plan for r in runners), *later) for k in plan.kernels), *WALKERS, *TAKERS]
        load_kernels(names, progress)
        for runner in runners:
            runner.compile()

    def _of_phase(self, phase: int) -> Compiler:
        """Return the compiler of the training steps from an epoch on."""
        return self.compiler if phase == self.compiler.options.epoch else self.compiler.with_options(epoch=phase)

    @in_turn
    def begin_epoch(self, epoch: int) -> int:
        """Take the plan of an epoch, where more parameters learn than before; return how many numbers these are.

        Their states in the optimizer begin as zeros, and the steps that it counts for them begin here.
        """
        before, phase = self.compiler.options.epoch, self.model.phase(epoch)
        if phase == before:
            return 0
        states = self.optimizer_state() if self.steps else {}
        self.compiler = self._of_phase(phase)
        self.__dict__.pop("training", None)
        self.__dict__.pop("_held", None)
        self._begun |= {begun: self.steps for begun in self.model.phases if before < begun <= phase}
        slots = self._states() if states else {}
        self._fill({name: slot for name, slot in slots.items() if name in states}, states)
        return sum(p.frozen_size(before) - p.frozen_size(phase) for p in self.model.params.values() if p.trainable)

    # ---- steps ------------------------------------------------------------------------------------
    @in_turn
    def train_step(self, x: np.ndarray, target: np.ndarray, *, lr: float, draw: Draw | None = None) -> StepResult:
        """Take one step of the optimizer on float32[n, H, W, C] and class numbers int32[n]; n may be below ``batch``.

        Where the loss is not finite, no weight changes.
        """
        self.begin_step(x, target, lr=lr, draw=draw)
        self.training.run(len(x))
        return self.end_step(len(x))

    def begin_step(self, x: np.ndarray, target: np.ndarray, *, lr: float, draw: Draw | None = None) -> None:
        """Set the inputs of a step, whose plan then runs whole (:meth:`train_step`), or in shares of several processes.

        For a share (``training.share``) arguments are as in :meth:`train_step`: arrays of the whole batch, of which
        only the samples of the own shards are read. Whoever lets threads share the net holds ``turn`` from here to
        :meth:`end_step`.
        """
        self._feed(self.training, x, target, draw)
        step = self.training.view(self.training.plan.inputs["step"])[0]
        step[STEP.inverse_batch] = 1.0 / len(x)
        for i, begun in enumerate(self._begun.values()):  # each phase counts its own steps
            own, first = self.model.train.optimizer.step_numbers(self.steps - begun + 1), i * STEP_STRIDE
            step[first + STEP.lr] = lr
            step[first + STEP.own : first + STEP.own + len(own)] = own
        self._held.keep()

    def end_step(self, n: int) -> StepResult:
        """Return what a step on ``n`` samples gave, when its plan has run."""
        self._prepared = False
        self._held.put_back()
        result = self._totals(self.training, n)
        if np.isfinite(result.loss):
            self.steps += 1
        return result

    @in_turn
    def eval_step(self, x: np.ndarray, target: np.ndarray, *, outputs: bool = False) -> StepResult:
        """Return loss and hits in inference mode, and with ``outputs`` the logits float32[n, F] of the same pass."""
        self._feed(self.inference, x, target)
        self._infer(len(x))
        result = self._totals(self.inference, len(x))
        return replace(result, outputs=self._outputs(len(x))) if outputs else result

    @in_turn
    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return the net's outputs (logits) float32[n, F] for any number of samples float32[n, H, W, C]."""
        runner = self.inference
        out = np.empty((len(x), *self.model.output_shape), self.dtype)
        for start in range(0, len(x), self.batch):
            part = x[start : start + self.batch]
            n = len(part)
            self._feed(runner, part)
            self._infer(n)
            out[start : start + n] = self._outputs(n)
        runner.give(None)
        return out

    def _outputs(self, n: int) -> np.ndarray:
        """Return a copy of what the last pass gave for its first ``n`` samples; a flattened image lies as the image."""
        image = self.inference.image(self.inference.plan.outputs["logits"].name)
        return image[:n].reshape(n, *self.model.output_shape).copy()

    def _infer(self, n: int) -> None:
        self.inference.run(n, prepare=not self._prepared)
        self._prepared = True

    def _feed(self, runner: Runner, x: np.ndarray, target: np.ndarray | None = None, draw: Draw | None = None) -> None:
        n = len(x)
        if x.shape[1:] != self.model.input_shape or not 0 < n <= self.batch:
            raise DataError(
                "the batch does not fit the net",
                expected=f"1 to {self.batch} samples of shape {self.model.input_shape}",
                found=f"{n} samples of shape {tuple(x.shape[1:])}",
            )
        runner.give(x)
        if target is not None:
            place = runner.view(runner.plan.inputs["target"])
            if self.compiler.options.target == "i32":
                place[:n, 0] = target
            else:
                place[:n, : target.shape[1]] = target
        if runner.draws:
            keys = (draw or Draw(0, np.arange(n))).keys(self.seed)
            runner.view(runner.plan.inputs["keys"])[:n, 0] = keys

    def _totals(self, runner: Runner, n: int) -> StepResult:
        totals = runner.view(runner.plan.outputs["totals"])[0]
        hits = totals[1]
        return StepResult(float(totals[0]) / n, int(hits) if np.isfinite(hits) else 0)

    # ---- looking inside ---------------------------------------------------------------------------
    @in_turn
    def trace(
        self,
        x: np.ndarray,
        target: np.ndarray | None = None,
        *,
        names: Collection[str] | str | None = None,
        training: bool = False,
        draw: Draw | None = None,
        progress: Progress | None = None,
    ) -> Trace:
        """Return activations of one batch, and with targets gradients of its mean loss. Changes no weight.

        The numbers are the kernels' own. A traced layer is not fused with the next one: its activation runs alone, a
        sum is added in a sweep of its own, a batch norm behind it is not folded into it. With targets in inference,
        no batch norm is folded. All other kernels are the plain run's, and give the same bits for the same inputs.
        Memory holds each traced array twice, and as much besides as the plain run.

        Parameters
        ----------
        x : float32[n, H, W, C], at most ``batch`` samples.
        target : class numbers int32[n], or float32[n, F] for mse.
        names, training : as in :meth:`cnnspec.Net.trace`, which also lists the errors.
        draw : chooses the numbers that dropout drops, as in :meth:`train_step`.
        progress : told of kernels that must be compiled.
        """
        n, gradients = len(x), target is not None
        chosen = names_to_trace(self.model, names, gradients)
        plan = self.compiler.trace_plan(chosen, training=training, gradients=gradients)
        load_kernels([*plan.kernels, *WALKERS], progress)
        runner = self._run_once(plan, x, target, draw)
        layers = [name for name in chosen if name not in self.model.params]
        return Trace(
            {name: np.array(activation(runner, self.model, name, n), order="C") for name in layers},
            {name: np.array(gradient(runner, self.model, name, n), order="C") for name in chosen if gradients},
            self._totals(runner, n).loss if gradients else None,
        )

    @in_turn
    def diagnose(self, x: np.ndarray, target: np.ndarray, *, draw: Draw | None = None) -> str | None:
        """Return the name of the first layer whose output in training is not finite, or None. Changes no weight."""
        runner = self._run_once(self.compiler.diagnosis_plan, x, target, draw)
        return self._first_layer(runner, len(x), lambda output: not np.isfinite(output).all())

    @in_turn
    def dead_layer(self, x: np.ndarray, target: np.ndarray) -> str | None:
        """Return the name of the first layer that gives 0 for all samples, or None. Changes no weight."""
        runner = self._run_once(self.compiler.diagnosis_plan, x, target)
        return self._first_layer(runner, len(x), lambda output: not output.any())

    def _first_layer(self, runner: Runner, n: int, is_wanted: Callable[[np.ndarray], bool]) -> str | None:
        """Return the first layer, in the order of the net, whose output for ``n`` samples ``is_wanted``."""
        names = (layer.name for layer in self.model.layers)
        return next((name for name in names if is_wanted(activation(runner, self.model, name, n))), None)

    def _run_once(self, plan: Plan, x: np.ndarray, target: np.ndarray | None, draw: Draw | None = None) -> Runner:
        """Run a plan without optimizer on one batch, and return the runner, whose memory holds the results."""
        runner = self._runner(plan)
        self._feed(runner, x, target, draw)
        runner.view(plan.inputs["step"])[0, STEP.inverse_batch] = 1 / len(x)
        runner.run(len(x))
        return runner

    # ---- parameters -------------------------------------------------------------------------------
    @in_turn
    def parameters(self) -> dict[str, np.ndarray]:
        """Return all parameters as arrays of their own: HWIO filters, [F_in, F_out] dense weights."""
        return {name: unpack(memory, p.shape, p.groups) for name, (memory, p) in self._slots.items()}

    @in_turn
    def load_parameters(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace all parameters; DataError names the first that is missing or has another shape."""
        self._check_shapes(self._slots, arrays)
        self._fill(self._slots, arrays)
        self._prepared = False

    @in_turn
    def optimizer_state(self) -> dict[str, np.ndarray]:
        """Return the optimizer's states as arrays, and the steps taken."""
        states = {name: unpack(memory, p.shape, p.groups) for name, (memory, p) in self._states().items()}
        begun = {f"{STEPS}@{phase}": np.array(n, np.int64) for phase, n in self._begun.items() if phase > 1}
        return {STEPS: np.array(self.steps, np.int64), **begun, **states}

    @in_turn
    def load_optimizer_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace the optimizer's states and the steps taken."""
        states = self._states()
        self._check_shapes(states, arrays)
        if STEPS not in arrays:
            raise DataError("the states of the optimizer lack its count of steps", field=STEPS)
        self._fill(states, arrays)
        self.steps = int(arrays[STEPS])
        self._begun = {phase: int(arrays.get(f"{STEPS}@{phase}", 0)) for phase in self._begun}

    def _states(self) -> Slots:
        """Return the optimizer's states by name, such as ``conv1.weight@velocity``."""
        buffers = [b for b in self.training.plan.buffers.values() if b.kind == STATE]
        return {b.name: (self.training.view(b)[0], self.model.params[b.name.partition("@")[0]]) for b in buffers}

    def _fill(self, slots: Slots, arrays: Mapping[str, np.ndarray]) -> None:
        for name, (memory, p) in slots.items():
            pack(np.asarray(arrays[name], self.dtype), p.groups, memory)

    def _check_shapes(self, slots: Slots, arrays: Mapping[str, np.ndarray]) -> None:
        for slot, (_, p) in slots.items():
            wanted, found = p.shape, arrays.get(slot)
            if found is None or tuple(found.shape) != tuple(wanted):
                raise DataError(
                    "the weights do not fit the net",
                    field=slot,
                    expected=f"shape {tuple(wanted)}",
                    found="nothing" if found is None else f"shape {tuple(found.shape)}",
                )
