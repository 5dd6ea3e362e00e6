"""A spec with weights: it can be looked at, saved and loaded, and makes networks of any batch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .compiler import Compiler
from .errors import DataError
from .model.summary_text import summary_table, summary_title, summary_totals
from .shown import compile_view, tell
from .turns import InTurn

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import Self

    from .runtime.network import Network
    from .runtime.trained import TrainedOn


class WeightedSpec(InTurn):
    """A checked spec and its weights, the spec's initial ones until others are taken: the base of ``cnnspec.Net``."""

    def __init__(self, compiler: Compiler) -> None:
        super().__init__()
        self._compiler = compiler
        self.model = compiler.model
        self.base: Path | None = None  # where relative data paths start; the spec's folder when None
        self._trained: TrainedOn | None = None  # what the weights were trained on
        self._weights: dict[str, np.ndarray] | None = None  # None: the spec's initial ones
        self._networks: dict[tuple[int, str], Network] = {}  # by batch size and dtype of targets

    def __getstate__(self) -> dict[str, Any]:
        """A copy, also one sent to another process, has the weights and makes its own plans."""
        return {**self.__dict__, "_networks": {}, "turn": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        super().__init__()

    def __repr__(self) -> str:
        size = f"{len(self.model.layers)} layers, {self.params:,} parameters"
        return f"<{type(self).__name__} {self.model.source.name}: {size}>"

    # ---- looking --------------------------------------------------------------------------------
    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input sample, (H, W, C)."""
        return self.model.input_shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one output sample, (F,) or (H, W, C)."""
        return self.model.output_shape

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the outputs, from the data the net was trained on.

        Their numbers as texts before a training; empty where targets are numbers or the output is an image.

        Examples
        --------
        >>> import cnnspec
        >>> cnnspec.parse("input 4x4x1 -> flatten -> dense 3").class_names
        ('0', '1', '2')
        """
        from .runtime.trained import class_names_of

        return class_names_of(self.model, self._trained)

    @property
    def params(self) -> int:
        """Number of trained parameters.

        Examples
        --------
        >>> import cnnspec
        >>> cnnspec.load("specs/zoo/lenet5.cnn").params
        61706
        """
        return sum(p.size for p in self.model.params.values() if p.trainable)

    def summary(self) -> str:
        """Return the table that ``cnnspec summary`` prints.

        Examples
        --------
        >>> import cnnspec
        >>> print(cnnspec.parse("input 4x4x1 -> flatten -> dense 10").summary())
        <text>: 4x4x1 -> 10
        <BLANKLINE>
        Layer      Output Shape  Param #  Mult-Adds  Sees  Line
        flatten              16        -          -   1x1     1
        dense                10      170        160   all     1
        <BLANKLINE>
        Total params  170
        Mult-Adds     160 an image
        Weights       680 B
        Activations   104 B an image
        """
        summary = self._compiler.summary
        return "\n".join([summary_title(summary), "", *summary_table(summary, 80), "", *summary_totals(summary)])

    # ---- weights --------------------------------------------------------------------------------
    def weights(self) -> dict[str, np.ndarray]:
        """Return copies of the parameters by name: ``conv1.weight`` [kH, kW, C_in, C_out], ``dense.bias`` [F], ...

        The arrays are read-only, because a change of a copy would not reach the net: :meth:`set_weights` does.

        Examples
        --------
        >>> import cnnspec
        >>> {name: w.shape for name, w in cnnspec.parse("input 4x4x1 -> flatten -> dense 2").weights().items()}
        {'dense.weight': (16, 2), 'dense.bias': (2,)}
        """
        copies = {name: value.copy() for name, value in self._parameters().items()}
        for value in copies.values():
            value.flags.writeable = False
        return copies

    def set_weights(self, weights: Mapping[str, np.ndarray]) -> Self:
        """Take weights by name, with the names and shapes of :meth:`weights`, and return the net.

        Raises
        ------
        DataError
            When a parameter is missing, unknown, of another shape, not of floats or not finite; the net keeps the
            weights it had.

        Examples
        --------
        >>> import cnnspec
        >>> net = cnnspec.parse("input 4x4x1 -> flatten -> dense 2")
        >>> halved = {name: value / 2 for name, value in net.weights().items()}
        >>> net.set_weights(halved).weights()["dense.weight"].shape
        (16, 2)
        """
        import numpy as np

        from .runtime.checkpoint import check_parameters
        from .runtime.data.pixels import check_finite

        if not isinstance(weights, Mapping):
            found = type(weights).__name__
            raise DataError("weights go by name", field="weights", expected="a dict, as weights() returns", found=found)
        arrays = {name: np.asarray(value) for name, value in weights.items()}
        check_parameters(None, arrays, self.model)
        for name, value in arrays.items():
            check_finite(value, None, name)
        self._use({name: np.array(value, np.float32) for name, value in arrays.items()}, self._trained)
        return self

    def save(self, path: str | Path) -> None:
        """Write the weights as a safetensors file.

        Raises
        ------
        MachineError
            When the file cannot be written; a file that was there is kept.

        Examples
        --------
        >>> import cnnspec
        >>> net = cnnspec.parse("input 4x4x1 -> flatten -> dense 2")
        >>> net.save("weights.safetensors")
        """
        from .runtime.checkpoint import save_checkpoint

        trained = self._trained.as_dict() if self._trained is not None else None
        save_checkpoint(path, self.model, self._parameters(), data=trained)

    def load(self, path: str | Path) -> Self:
        """Take the weights of a safetensors file, and return the net.

        Raises
        ------
        DataError
            When the file is missing, damaged, or of another net: names the parameter that does not fit.

        Warns
        -----
        DataWarning
            When the spec normalises images otherwise than the training of the weights did.

        Examples
        --------
        >>> import cnnspec
        >>> net = cnnspec.parse("input 4x4x1 -> flatten -> dense 2")
        >>> net.save("weights.safetensors")
        >>> net.load("weights.safetensors")
        <Net <text>: 2 layers, 34 parameters>
        """
        from .runtime.checkpoint import load_weights
        from .runtime.trained import compare_spec, weights_used

        trained = weights_used(Path(path)).trained
        self._use(load_weights(path, self.model), trained)
        tell(*compare_spec(trained, self.model))
        return self

    # ---- inside ---------------------------------------------------------------------------------
    def _use(self, weights: Mapping[str, np.ndarray], trained: TrainedOn | None) -> None:
        with self.turn:  # networks are made, and weights replaced, by one thread at a time
            self._weights, self._trained = dict(weights), trained
            for network in self._networks.values():
                network.load_parameters(self._weights)

    def _parameters(self) -> Mapping[str, np.ndarray]:
        """Return the weights that the net has: those it was given, else the spec's initial ones."""
        from .runtime.initialize import initial_parameters

        return self._weights if self._weights is not None else initial_parameters(self.model)

    def _network(self, batch: int, target: str = "i32", progress: bool | None = None) -> Network:
        """Return a network for inference with the current weights; one for each kind is kept."""
        with self.turn:  # networks are made, and weights replaced, by one thread at a time
            if (batch, target) not in self._networks:
                from .runtime.network import Network

                compiler = self._compiler.with_options(batch=batch, target=target)
                network = Network(compiler, parameters=self._weights)
                with compile_view(progress) as view:
                    network.compile(view, training=False)
                self._networks[batch, target] = network
            return self._networks[batch, target]
