"""The Python front: a spec as an object that can be looked at, trained, measured and asked.

    >>> net = parse("input 8x8x1 -> flatten -> dense 10")
    >>> net.params
    650

Everything here is a thin layer over the parts that the command line uses; arrays and kernels are loaded when
they are first needed.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .compiler import Compiler
from .errors import DataError
from .model.elsewhere import argument_elsewhere
from .model.model import Model
from .model.overrides import texts_of
from .options import Options
from .shown import compile_view, tell, training_view
from .weighted import WeightedSpec

if TYPE_CHECKING:
    import numpy as np

    from .runtime.evaluate import Evaluation
    from .runtime.events import Reporter, TrainResult
    from .runtime.trace import Trace


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
    path = Path(path)
    changes = texts_of(settings)
    if not path.is_dir() and path.suffix != ".safetensors":
        return Net(Compiler.from_path(path, changes, Options(exact=exact)))
    from .runtime.run_folder import run_of

    run, weights = run_of(path)
    net = Net(run.compiler(changes, Options(exact=exact)))
    net.base = run.base
    return net.load(weights)


def parse(text: str, *, exact: bool = False, **settings: object) -> Net:
    """Return the net of a spec given as text; see :func:`load`.

    Examples
    --------
    >>> print(parse("input 6x6x1 -> conv 2 3x3 -> relu").output_shape)
    (6, 6, 2)
    """
    return Net(Compiler.from_text(text, texts_of(settings), options=Options(exact=exact)))


class Net(WeightedSpec):
    """A checked spec and, once it was trained or loaded, its weights.

    Made by :func:`load` and :func:`parse`. Weights that were neither trained nor loaded are the spec's
    initial ones, as its ``seed`` says.
    """

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
        from .runtime.data import data_of, dataset_for
        from .runtime.train import train
        from .runtime.trained import kept_names, other_scale, trained_on

        model = self._model_to_train(settings)
        data = (
            dataset_for(model, x, y, validation=validation, test=test) if x is not None else data_of(model, self.base)
        )
        weights, before = (None, None) if restart else (self._weights, self._trained)
        record = kept_names(trained_on(data), before)
        warned = [w.remark for w in model.warnings]
        data = replace(data, notes=(*data.notes, *warned, *other_scale(record, before)))
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
        from .runtime.data import data_of, dataset_for
        from .runtime.evaluate import evaluate, split_of, target_dtype
        from .runtime.trained import compare_data

        if x is not None:
            data = dataset_for(self.model, x, y, trained=self._trained.scale if self._trained is not None else None)
            part = data.train
            tell(*data.notes)
        else:
            data = data_of(self.model, self.base)
            part = split_of(data, split)
            tell(*compare_data(self._trained, data))
        batch = self.model.train.batch
        classes = self.output_shape[0] if part.labels.ndim == 1 and len(self.output_shape) == 1 else None
        network = self._network(batch, target_dtype(self.model, part), progress)
        with network.turn:
            found = evaluate(network, part, batch, classes)
        return replace(found, class_names=self.class_names or data.class_names)

    def predict(
        self,
        x: np.ndarray | str | Path | Iterable[str | Path],
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
            trained on, a file cannot be read, or the net's outputs are not finite.

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

        from .runtime.answers import Pictures, answer, batch_for, paths_in, pixels_of

        if isinstance(x, Iterator):
            x = list(x)
        paths = paths_in(x)
        if paths is None:
            pixels, white, remark = pixels_of(x, self.model, self._trained)
            tell(remark)
            network = self._network(batch_for(len(pixels)), progress=progress)
            with network.turn:  # all of one set of weights
                return answer(network, self.model, pixels, white)
        pictures = Pictures(self.model, self._trained, paths, invert=invert)
        network = self._network(batch_for(len(pictures.files)), progress=progress)
        answers = []
        with network.turn:
            for _, found in pictures.answers(network):
                if isinstance(found, DataError):
                    raise found
                answers.append(found)
        tell(*pictures.notes("invert=True"))
        return np.stack(answers)

    def trace(
        self,
        x: np.ndarray,
        y: np.ndarray | None = None,
        *,
        names: Collection[str] | str | None = None,
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
        MachineError
            When memory does not suffice.

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
        from .runtime.data import dataset_for
        from .runtime.evaluate import target_dtype
        from .runtime.trace import check_batch

        kind, batch = "i32", self.model.train.batch
        if y is None:
            pixels, white, remark = pixels_of(x, self.model, self._trained)
            check_batch(len(pixels), batch)
            tell(remark)
            samples, targets = normalised(self.model, pixels, white), None
        else:
            data = dataset_for(self.model, x, y, trained=self._trained.scale if self._trained is not None else None)
            check_batch(len(data.train), batch)
            tell(*data.notes)
            kind = target_dtype(self.model, data.train)
            samples, targets = data.train.batch(np.arange(len(data.train)))
        network = self._network(batch, kind, progress)
        with compile_view(progress) as view:
            return network.trace(samples, targets, names=names, training=training, progress=view)

    # ---- inside ---------------------------------------------------------------------------------
    def _model_to_train(self, settings: Mapping[str, object]) -> Model:
        """Return the model with settings of its ``train`` section changed."""
        if not settings:
            return self.model
        from .runtime.identity import used_as

        for name in settings:
            if (ours := argument_elsewhere(name)) is not None:
                raise DataError(f"train() has no argument `{name}`", field=name, hint=f"write  {ours}")

        model = Compiler(self._compiler.source, {**self._compiler.settings, **texts_of(settings)}).model
        if used_as(model) != used_as(self.model):
            raise DataError(
                "a setting of train() changes the net, its loss or how its images are read",
                field=", ".join(settings),
                expected="settings of the train section other than loss",
                hint="give them to cnnspec.load or cnnspec.parse",
            )
        return model


__all__ = ["Net", "load", "parse"]
