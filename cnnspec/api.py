"""The Python front: a spec as an object that can be looked at, trained, measured and asked.

    >>> net = parse("input 8x8x1 -> flatten -> dense 10")
    >>> net.params
    650

Everything here is a thin layer over the parts that the command line uses; arrays and kernels are loaded when
they are first needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from .compiler import Compiler
    from .model.model import Model
    from .runtime.data import Dataset
    from .runtime.evaluate import Evaluation
    from .runtime.events import Reporter, TrainResult
    from .runtime.network import Network

PREDICT_BATCH = 64


def load(path: str | Path, *, exact: bool = False, **settings: object) -> Net:
    """Return the net of a .cnn file, or of a run folder with its weights.

    Parameters
    ----------
    path : a .cnn file, or a folder that training has written.
    exact : keep convolutions as they are written, without Winograd's algorithms, which round a little more. A run
        that was trained so is used so in any case.
    settings : what ``--set`` changes on the command line, e.g. ``width=0.5``; dotted names as
        ``**{"train.epochs": 5}``.

    Raises
    ------
    SpecError
        When the spec is wrong; its ``diagnostics`` hold every finding.
    DataError
        When there is no such file, or the weights do not fit.

    Examples
    --------
    >>> net = load("specs/digits.cnn")
    >>> net.input_shape, net.output_shape
    ((8, 8, 1), (10,))
    """
    from .compiler import Compiler

    path = Path(path)
    changes = {key: str(value) for key, value in settings.items()}
    if not path.is_dir():
        return Net(Compiler.from_path(path, changes, exact))
    from .runtime.run_folder import run_of

    run, weights = run_of(path)
    net = Net(Compiler.from_path(run.spec_path, {**dict(run.settings), **changes}, exact or run.exact))
    net.base = run.base
    return net.load(weights)


def parse(text: str, *, exact: bool = False, **settings: object) -> Net:
    """Return the net of a spec given as text; see :func:`load`.

    Examples
    --------
    >>> print(parse("input 6x6x1 -> conv 2 3x3 -> relu").output_shape)
    (6, 6, 2)
    """
    from .compiler import Compiler

    return Net(Compiler.from_text(text, {key: str(value) for key, value in settings.items()}, exact=exact))


class Net:
    """A checked spec and, once it was trained or loaded, its weights.

    Made by :func:`load` and :func:`parse`. Weights that were neither trained nor loaded are the spec's
    initial ones, as its ``seed`` says.
    """

    def __init__(self, compiler: Compiler) -> None:
        self._compiler = compiler
        self.model: Model = compiler.model
        self.base: Path | None = None  # where relative data paths start; the spec's folder when None
        self._weights: dict[str, np.ndarray] | None = None
        self._networks: dict[tuple[int, str], Network] = {}  # by batch size and dtype of targets

    def __repr__(self) -> str:
        return f"<Net {self.model.source.name}: {len(self.model.layers)} layers, {self.params:,} parameters>"

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
    def params(self) -> int:
        """Number of trained parameters.

        Examples
        --------
        >>> load("specs/lenet5.cnn").params
        61706
        """
        return sum(p.size for p in self.model.params.values() if p.trainable)

    def summary(self) -> str:
        """Return the table that ``cnnspec summary`` prints.

        Examples
        --------
        >>> print(parse("input 4x4x1 -> flatten -> dense 10").summary())
        <text>: 4x4x1 -> 10
        <BLANKLINE>
        Layer      Output Shape  Param #  Mult-Adds  Sees  Line
        flatten              16        -          -   1x1     1
        dense                10      170        160   4x4     1
        <BLANKLINE>
        Total params  170
        Mult-Adds     160 an image
        Weights       680 B
        Activations   104 B an image
        """
        from .summary_text import summary_table, summary_title, summary_totals

        summary = self._compiler.summary
        return "\n".join([summary_title(summary), "", *summary_table(summary, 80), "", *summary_totals(summary)])

    # ---- training -------------------------------------------------------------------------------
    def train(
        self,
        x: np.ndarray | None = None,
        y: np.ndarray | None = None,
        *,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
        test: tuple[np.ndarray, np.ndarray] | None = None,
        out: str | Path | None = None,
        threads: int | None = None,
        reporter: Reporter | None = None,
    ) -> TrainResult:
        """Train as the spec's ``train`` section says, on arrays or on the spec's own data.

        Parameters
        ----------
        x : uint8[N, H, W, C] (divided by 255) or float32[N, H, W, C] (used as they are); the spec's ``data``
            section when None.
        y : int[N], classes counted from 0; float32[N, F] for ``loss mse``.
        validation, test : pairs (x, y) to measure on after each epoch, and at the end.
        out : where to make a run folder; nothing is written when None.
        threads : threads of the kernels; one for each core when None.
        reporter : told how it goes (cnnspec.runtime.events); nothing is printed.

        Returns
        -------
        TrainResult with ``history`` (a dict for each epoch), ``test`` and ``status``.

        Raises
        ------
        DataError
            When the data does not fit the spec.
        TrainingDiverged
            When the loss is not finite.

        Examples
        --------
        >>> net = load("specs/digits.cnn", **{"train.epochs": 3})
        >>> result = net.train()
        >>> result.test["test.accuracy"] > 0.8
        True
        """
        from .runtime.train import train

        data = None if x is None else self._dataset(x, y, validation, test)
        if data is None:
            data = self._open_data()
        exact = self._compiler.exact
        result = train(self.model, data=data, out=out, threads=threads, exact=exact, reporter=reporter)
        self._use({name: value.copy() for name, value in result.network.parameters().items()})
        return result

    # ---- using ----------------------------------------------------------------------------------
    def evaluate(self, x: np.ndarray | None = None, y: np.ndarray | None = None, *, split: str = "test") -> Evaluation:
        """Return loss and accuracy on arrays, or on a split of the spec's data.

        Parameters
        ----------
        x, y : as in :meth:`train`; the spec's data when None.
        split : ``test``, ``val`` or ``train`` of the spec's data.

        Raises
        ------
        DataError
            When the data does not fit the spec, or has no such split.

        Examples
        --------
        >>> load("specs/digits.cnn").evaluate().images
        359
        """
        from .runtime.evaluate import evaluate, target_dtype

        if x is not None:
            part: Any = self._dataset(x, y, None, None).train
        else:
            part = getattr(self._open_data(), split, None)
            if part is None:
                raise DataError(f"the data has no {split} split", field="split", expected="test, val or train")
        batch = self.model.train.batch
        return evaluate(self._network(batch, target_dtype(self.model, part)), part, batch)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return probabilities float32[N, classes] (the raw outputs where the loss is mse).

        Parameters
        ----------
        x : uint8[N, H, W, C] (divided by 255, then as the spec's ``normalize`` says), or float32[N, H, W, C]
            (used as they are); one image without N gives one row.

        Raises
        ------
        DataError
            When the images do not have the size of the spec's input.

        Examples
        --------
        >>> import numpy as np
        >>> net = load("specs/digits.cnn")
        >>> net.predict(np.zeros((3, 8, 8, 1), np.float32)).shape
        (3, 10)
        """
        import numpy as np

        from .runtime.data import normalizer_for

        images = np.asarray(x)
        if images.ndim == len(self.input_shape):
            images = images[None]
        if images.shape[1:] != self.input_shape:
            raise DataError(
                "the images do not have the size of the spec's input",
                field="x",
                expected=f"[N, {', '.join(map(str, self.input_shape))}]",
                found=str(list(np.shape(x))),
            )
        if images.dtype == np.uint8:
            normalize = self.model.data.normalize if self.model.data is not None else None
            images = normalizer_for(normalize, self.input_shape[-1])(images)
        images = np.ascontiguousarray(images, np.float32)
        size = min(PREDICT_BATCH, max(1, len(images)))
        network = self._network(size)
        parts = [network.predict(images[i : i + size]) for i in range(0, len(images), size)]
        logits = np.concatenate(parts) if parts else np.zeros((0, *self.output_shape), np.float32)
        if self.model.train.loss.word == "mse" or logits.ndim != 2:
            return logits
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    # ---- weights --------------------------------------------------------------------------------
    def weights(self) -> dict[str, np.ndarray]:
        """Return the parameters by name: ``conv1.weight`` [kH, kW, C_in, C_out], ``dense.bias`` [F], ...

        Examples
        --------
        >>> {name: w.shape for name, w in parse("input 4x4x1 -> flatten -> dense 2").weights().items()}
        {'dense.weight': (16, 2), 'dense.bias': (2,)}
        """
        network = self._network(*next(iter(self._networks), (1, "i32")))
        return {name: value.copy() for name, value in network.parameters().items()}

    def save(self, path: str | Path) -> None:
        """Write the weights as a safetensors file.

        Raises
        ------
        MachineError
            When the file cannot be written; a file that was there is kept.

        Examples
        --------
        >>> net = parse("input 4x4x1 -> flatten -> dense 2")
        >>> net.save("weights.safetensors")
        """
        from .runtime.checkpoint import save_weights

        save_weights(path, self.model, self.weights())

    def load(self, path: str | Path) -> Net:
        """Take the weights of a safetensors file, and return the net.

        Raises
        ------
        DataError
            When the file is missing, damaged, or of another net: names the parameter that does not fit.

        Examples
        --------
        >>> net = parse("input 4x4x1 -> flatten -> dense 2")
        >>> net.save("weights.safetensors")
        >>> net.load("weights.safetensors")
        <Net <text>: 2 layers, 34 parameters>
        """
        from .runtime.checkpoint import load_weights

        self._use(load_weights(path, self.model))
        return self

    # ---- inside ---------------------------------------------------------------------------------
    def _use(self, weights: Mapping[str, np.ndarray]) -> None:
        self._weights = dict(weights)
        for network in self._networks.values():
            network.load_parameters(self._weights)

    def _network(self, batch: int, target: str = "i32") -> Network:
        """Return a network for inference with the current weights; one for each kind is kept."""
        if (batch, target) not in self._networks:
            from .runtime.network import Network

            seed, exact = self.model.train.seed, self._compiler.exact
            network = Network(self.model, batch=batch, seed=seed, target=target, exact=exact)
            network.compile(training=False)
            if self._weights is not None:
                network.load_parameters(self._weights)
            self._networks[batch, target] = network
        return self._networks[batch, target]

    def _open_data(self) -> Dataset:
        from .runtime.data import open_data
        from .runtime.run_folder import base_of

        model = self.model
        base = self.base if self.base is not None else base_of(model)
        return open_data(
            model.data, model.input_shape, model.label_count, base, seed=model.train.seed, spec=model.source.name
        )

    def _dataset(
        self,
        x: np.ndarray,
        y: np.ndarray | None,
        validation: tuple[np.ndarray, np.ndarray] | None,
        test: tuple[np.ndarray, np.ndarray] | None,
    ) -> Dataset:
        from .runtime.data import dataset_of_arrays

        if y is None:
            raise DataError("x was given without y", field="y", expected="one label for each image")
        settings = self.model.data
        val = validation or (None, None)
        tested = test or (None, None)
        return dataset_of_arrays(
            x,
            y,
            input_shape=self.input_shape,
            classes=self.model.label_count,
            x_val=val[0],
            y_val=val[1],
            x_test=tested[0],
            y_test=tested[1],
            val=settings.val if settings is not None and validation is None else 0.0,
            normalize=settings.normalize if settings is not None else None,
            seed=self.model.train.seed,
        )


__all__ = ["Net", "load", "parse"]
