"""The Python front: a spec as an object that can be looked at, trained, measured and asked.

    >>> net = parse("input 8x8x1 -> flatten -> dense 10")
    >>> net.params
    650

Everything here is a thin layer over the parts that the command line uses; arrays and kernels are loaded when
they are first needed.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import DataError
from .options import Options
from .shown import compile_view, tell, training_view
from .turns import InTurn

if TYPE_CHECKING:
    import numpy as np

    from .compiler import Compiler
    from .model.model import Model
    from .runtime.data import Dataset, PixelScale
    from .runtime.evaluate import Evaluation
    from .runtime.events import Reporter, TrainResult
    from .runtime.network import Network
    from .runtime.trace import Trace
    from .runtime.trained import TrainedOn

SPLITS = ("test", "val", "train")


def load(path: str | Path, *, exact: bool = False, **settings: object) -> Net:
    """Return the net of a .cnn file, or of a run folder with its weights.

    Parameters
    ----------
    path : a .cnn file, a folder that training has written, or a .safetensors file in one.
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
    from .model.overrides import texts_of

    path = Path(path)
    changes = texts_of(settings)
    if not path.is_dir() and path.suffix != ".safetensors":
        return Net(Compiler.from_path(path, changes, Options(exact=exact)))
    from .runtime.run_folder import run_of

    run, weights = run_of(path)
    options = Options(exact=exact or run.exact)
    net = Net(Compiler.from_path(run.spec_path, {**dict(run.settings), **changes}, options))
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
    from .model.overrides import texts_of

    return Net(Compiler.from_text(text, texts_of(settings), options=Options(exact=exact)))


class Net(InTurn):
    """A checked spec and, once it was trained or loaded, its weights.

    Made by :func:`load` and :func:`parse`. Weights that were neither trained nor loaded are the spec's
    initial ones, as its ``seed`` says.
    """

    def __init__(self, compiler: Compiler) -> None:
        super().__init__()
        self._compiler = compiler
        self.model: Model = compiler.model
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
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the outputs, from the data the net was trained on.

        Their numbers as texts before a training; empty where targets are numbers or the output is an image.

        Examples
        --------
        >>> parse("input 4x4x1 -> flatten -> dense 3").class_names
        ('0', '1', '2')
        """
        known = self._trained.class_names if self._trained is not None else ()
        outputs = self.output_shape
        if len(outputs) != 1 or (not known and (self._trained is not None or self.model.train.loss.word == "mse")):
            return ()
        return known if len(known) == outputs[0] else tuple(map(str, range(outputs[0])))

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
        dense                10      170        160   all     1
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
        restart: bool = False,
        out: str | Path | None = None,
        threads: int | None = None,
        progress: bool | None = None,
        reporter: Reporter | None = None,
        **settings: object,
    ) -> TrainResult:
        """Train as the spec's ``train`` section says, on arrays or on the spec's own data.

        Training begins with the weights that the net has: those of an earlier ``train``, ``load`` or
        ``set_weights``, else the spec's initial ones. The optimizer's state and the schedule begin anew.

        Parameters
        ----------
        x : uint8[N, H, W, C] (divided by 255) or float32[N, H, W, C] (used as they are), then normalised as the
            spec says; the spec's ``data`` section when None.
        y : int[N], classes counted from 0; float32[N, F] for ``loss mse``.
        validation, test : pairs (x, y) to measure on after each epoch, and at the end.
        restart : begin with the spec's initial weights.
        out : where to make a run folder; nothing is written when None.
        threads : threads of the kernels; one for each core when None.
        progress : show how it goes; None does so in a terminal and in a notebook.
        reporter : told how it goes (cnnspec.runtime.events), in place of ``progress``.
        settings : of the ``train`` section for this call: ``epochs=5``, ``batch=32``, ``seed=2``, ``lr=0.01`` and
            the optimizer's other numbers, ``optimizer="adam lr=0.001"``; all else as in :func:`load`.

        Returns
        -------
        TrainResult with ``history`` (a dict for each epoch), ``test`` and ``status``.

        Raises
        ------
        SpecError
            When a setting is unknown or its value does not fit.
        DataError
            When the data does not fit the spec.
        TrainingDiverged
            When the loss is not finite; the net keeps the weights it had.

        Examples
        --------
        >>> net = load("specs/digits.cnn")
        >>> result = net.train(epochs=3)
        >>> result.test["test.accuracy"] > 0.8
        True
        """
        from .runtime.data import data_of
        from .runtime.train import train
        from .runtime.trained import kept_names, other_scale, trained_on

        model = self._model_to_train(settings)
        data = self._dataset(x, y, validation, test, model) if x is not None else data_of(model, self.base)
        weights, before = (None, None) if restart else (self._weights, self._trained)
        record = kept_names(trained_on(data), before)
        remark = other_scale(record, before)
        warned = [f"{w.message} (line {w.span.line}); {w.hint or w.notes[0]}" for w in model.warnings]
        data = replace(data, notes=(*data.notes, *warned, *([remark] if remark else [])))
        with nullcontext(reporter) if reporter is not None else training_view(progress) as told:
            result = train(
                model,
                data=data,
                weights=weights,
                out=out,
                threads=threads,
                options=self._compiler.options,
                reporter=told,
            )
        self._use(result.network.parameters(), record)
        if result.signal not in (0, signal.SIGINT):
            signal.raise_signal(result.signal)  # it was put off until the net had what was learned
        return result

    # ---- using ----------------------------------------------------------------------------------
    def evaluate(
        self,
        x: np.ndarray | None = None,
        y: np.ndarray | None = None,
        *,
        split: str = "test",
        progress: bool | None = None,
    ) -> Evaluation:
        """Return loss, accuracy, confusion and mistakes on arrays, or on a split of the spec's data.

        Parameters
        ----------
        x, y : as in :meth:`train`; the spec's data when None.
        split : ``test``, ``val`` or ``train`` of the spec's data.
        progress : show how far the kernels are where some must be compiled; None does so in a terminal and a notebook.

        Returns
        -------
        Evaluation with ``loss``, ``accuracy``, ``confusion`` int64[classes, classes] (rows the true class) and
        ``mistakes``; the last two for classes only.

        Raises
        ------
        DataError
            When the data does not fit the spec, has no such split, or has other classes than those of the training.

        Warns
        -----
        DataWarning
            When the spec's data has changed since the training.

        Examples
        --------
        >>> found = load("specs/digits.cnn").evaluate()
        >>> found.images, found.confusion.shape
        (359, (10, 10))
        """
        from .runtime.data import data_of
        from .runtime.evaluate import evaluate, target_dtype
        from .runtime.trained import compare_data

        if x is not None:
            data = self._dataset(x, y, None, None, trained=self._trained.scale if self._trained is not None else None)
            part: Any = data.train
            tell(*data.notes)
        else:
            data = data_of(self.model, self.base)
            part = getattr(data, split, None) if split in SPLITS else None
            if part is None:
                there = [name for name in SPLITS if getattr(data, name) is not None]
                raise DataError(f"the data has no {split} split", field="split", expected=" or ".join(there))
            tell(*compare_data(self._trained, data))
        batch = self.model.train.batch
        classes = self.output_shape[0] if part.labels.ndim == 1 and len(self.output_shape) == 1 else None
        network = self._network(batch, target_dtype(self.model, part), progress)
        with network.turn:
            found = evaluate(network, part, batch, classes)
        return replace(found, class_names=self.class_names or data.class_names)

    def predict(
        self,
        x: np.ndarray | str | Path | Sequence[str | Path],
        *,
        invert: bool = False,
        progress: bool | None = None,
    ) -> np.ndarray:
        """Return probabilities float32[N, classes] (the raw outputs where the loss is mse).

        Parameters
        ----------
        x : images as :meth:`train` takes them, or one image without N, which gives one row; or picture files: a path
            or a list of paths, where a folder stands for the pictures in it and below, in the order of their names.
            Both are read as those of the training were, and normalised as the spec says.
        invert : turn light and dark of picture files around.
        progress : show how far the kernels are where some must be compiled; None does so in a terminal and a notebook.

        Raises
        ------
        DataError
            When the images do not have the size of the spec's input, are of another scale than those that the net was
            trained on, or a file cannot be read.

        Warns
        -----
        DataWarning
            When pictures are light and those of the training were dark, or the reverse; when a picture is dark, or of
            one colour, as it is read; when numbers go below 0, and those of the training did not, or the reverse.

        Examples
        --------
        >>> import numpy as np
        >>> net = load("specs/digits.cnn")
        >>> net.predict(np.zeros((3, 8, 8, 1), np.float32)).shape
        (3, 10)
        """
        import numpy as np

        from .runtime.answers import (
            BATCH,
            answer,
            batch_for,
            findings_of,
            image_files,
            invert_hint,
            paths_in,
            pixels_of,
            read_pictures,
            white_of_pictures,
        )

        paths = paths_in(x)
        if paths is None:
            pixels, white, remark = pixels_of(x, self.model, self._trained)
            tell(remark)
            network = self._network(batch_for(len(pixels)), progress=progress)
            with network.turn:  # all of one set of weights
                return answer(network, self.model, pixels, white)
        findings = findings_of(self.model)
        files = image_files(paths, findings)
        white = white_of_pictures(self._trained, files[0])
        network = self._network(batch_for(len(files)), progress=progress)
        answers, means = [], []
        with network.turn:
            for start in range(0, len(files), BATCH):  # so that memory holds a batch of pictures, not all
                pictures = []
                for found in read_pictures(files[start : start + BATCH], self.model, findings, invert=invert):
                    if isinstance(found, DataError):
                        raise found
                    pictures.append(found)
                means += [float(picture.mean()) for picture in pictures]
                answers.append(answer(network, self.model, np.stack(pictures), white))
        for note in (*findings.notes(), invert_hint(means, self._trained, invert, "invert=True")):
            tell(note)
        return np.concatenate(answers)

    def trace(
        self,
        x: np.ndarray,
        y: np.ndarray | None = None,
        *,
        names: Collection[str] | None = None,
        training: bool = False,
        progress: bool | None = None,
    ) -> Trace:
        """Return what the layers make of one batch, and with ``y`` the gradients of its mean loss. Nothing changes.

        Parameters
        ----------
        x, y : as in :meth:`train`, of at most as many images as the spec's ``batch``.
        names : of layers, ``input`` or parameters, as in :meth:`summary` and :meth:`weights`; all of them when None.
        training : batch norm takes the statistics of the batch, and dropout drops, as in a step of training.
        progress : show how far the kernels are where some must be compiled; None does so in a terminal and a notebook.

        Returns
        -------
        Trace with ``activations`` (float32[n, H, W, C] or float32[n, F] of each layer), ``gradients`` (of each layer,
        of ``input`` and, by filter in the last axis, of each parameter) and ``loss``.

        Raises
        ------
        DataError
            When the images do not fit the spec or are too many, or the net has no such name.
        SpecError
            When there is ``y`` and the net ends in an image, of which no loss is known.

        Examples
        --------
        >>> import numpy as np
        >>> x, y = np.ones((2, 8, 8, 1), np.float32), np.array([3, 8])
        >>> found = load("specs/digits.cnn").trace(x, y, names=["conv1", "conv1.weight", "input"])
        >>> found.activations["conv1"].shape, found.gradients["conv1.weight"].shape, found.gradients["input"].shape
        ((2, 8, 8, 16), (3, 3, 1, 16), (2, 8, 8, 1))
        """
        import numpy as np

        from .runtime.answers import normalised, pixels_of
        from .runtime.evaluate import target_dtype
        from .runtime.trace import check_batch

        kind, batch = "i32", self.model.train.batch
        if y is None:
            pixels, white, remark = pixels_of(x, self.model, self._trained)
            check_batch(len(pixels), batch)
            tell(remark)
            samples, targets = normalised(self.model, pixels, white), None
        else:
            data = self._dataset(x, y, None, None, trained=self._trained.scale if self._trained is not None else None)
            check_batch(len(data.train), batch)
            tell(*data.notes)
            kind = target_dtype(self.model, data.train)
            samples, targets = data.train.batch(np.arange(len(data.train)))
        network = self._network(batch, kind, progress)
        with compile_view(progress) as view:
            return network.trace(samples, targets, names=names, training=training, progress=view)

    # ---- weights --------------------------------------------------------------------------------
    def weights(self) -> dict[str, np.ndarray]:
        """Return copies of the parameters by name: ``conv1.weight`` [kH, kW, C_in, C_out], ``dense.bias`` [F], ...

        The arrays are read-only, because a change of a copy would not reach the net: :meth:`set_weights` does.

        Examples
        --------
        >>> {name: w.shape for name, w in parse("input 4x4x1 -> flatten -> dense 2").weights().items()}
        {'dense.weight': (16, 2), 'dense.bias': (2,)}
        """
        copies = {name: value.copy() for name, value in self._parameters().items()}
        for value in copies.values():
            value.flags.writeable = False
        return copies

    def set_weights(self, weights: Mapping[str, np.ndarray]) -> Net:
        """Take weights by name, with the names and shapes of :meth:`weights`, and return the net.

        Raises
        ------
        DataError
            When a parameter is missing, unknown, of another shape, not of floats or not finite; the net keeps the
            weights it had.

        Examples
        --------
        >>> net = parse("input 4x4x1 -> flatten -> dense 2")
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
        >>> net = parse("input 4x4x1 -> flatten -> dense 2")
        >>> net.save("weights.safetensors")
        """
        from .runtime.checkpoint import save_weights

        trained = self._trained.as_dict() if self._trained is not None else None
        save_weights(path, self.model, self._parameters(), trained)

    def load(self, path: str | Path) -> Net:
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
        >>> net = parse("input 4x4x1 -> flatten -> dense 2")
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

                network = Network(self._compiler.with_options(batch=batch, target=target))
                with compile_view(progress) as view:
                    network.compile(view, training=False)
                if self._weights is not None:
                    network.load_parameters(self._weights)
                self._networks[batch, target] = network
            return self._networks[batch, target]

    def _model_to_train(self, settings: Mapping[str, object]) -> Model:
        """Return the model with settings of its ``train`` section changed."""
        if not settings:
            return self.model
        from .compiler import Compiler
        from .model.overrides import texts_of
        from .runtime.identity import used_as

        model = Compiler(self._compiler.source, {**self._compiler.settings, **texts_of(settings)}).model
        if used_as(model) != used_as(self.model):
            raise DataError(
                "a setting of train() changes the net, its loss or how its images are read",
                field=", ".join(settings),
                expected="settings of the train section other than loss",
                hint="give them to cnnspec.load or cnnspec.parse",
            )
        return model

    def _dataset(
        self,
        x: np.ndarray,
        y: np.ndarray | None,
        validation: tuple[np.ndarray, np.ndarray] | None,
        test: tuple[np.ndarray, np.ndarray] | None,
        model: Model | None = None,
        trained: PixelScale | None = None,
    ) -> Dataset:
        from .runtime.data import dataset_of_arrays

        if y is None:
            raise DataError("x was given without y", field="y", expected="one label for each image")
        model = model or self.model
        settings = model.data
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
            seed=model.train.seed,
            trained=trained,
        )


__all__ = ["Net", "load", "parse"]
