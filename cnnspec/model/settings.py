"""What the ``data`` and ``train`` sections say, as typed fields like those of ops.

Each statement of a section has one class here, so that checking, "did you mean" and the manual of settings
work as they do for layers: ``optimizer sgd lr=0.1`` is the class registered as ("optimizer", "sgd").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..ir.fields import attr, dataclass_transform, declared
from ..ir.optimizer import Optimizer
from ..source import Span

T = TypeVar("T", bound=type)

# statement -> word -> class: SETTINGS["optimizer"]["sgd"] is SGD
SETTINGS: dict[str, dict[str, type]] = {}


@dataclass_transform(frozen_default=True, field_specifiers=(attr,))
def setting(statement: str, word: str) -> Callable[[T], T]:
    """Register a settings class under a statement of a section and make it a frozen dataclass."""

    def register(cls: T) -> T:
        frozen: Any = declared(cls)
        frozen.word = word
        SETTINGS.setdefault(statement, {})[word] = frozen
        return frozen

    return register


# ---- loss ---------------------------------------------------------------------------------------
@setting("loss", "cross_entropy")
class CrossEntropy:
    """Softmax cross-entropy of logits, averaged over the batch. Labels are class numbers."""

    smooth: float = attr(
        "float", "label smoothing in [0, 1): Szegedy et al. 2016, section 7", default=0.0, min=0, max=0.999
    )


@setting("loss", "mse")
class MeanSquaredError:
    """Mean of the squared difference to the target; class labels become one-hot targets."""


# ---- optimizer ----------------------------------------------------------------------------------
@setting("optimizer", "sgd")
class SGD(Optimizer):
    """Stochastic gradient descent: v = momentum*v + g + decay*w; w -= lr*v (Sutskever et al. 2013)."""

    kernel, states = "sgd", ("velocity",)

    lr: float = attr("float", "learning rate", default=0.05, min=0)
    momentum: float = attr("float", "momentum in [0, 1)", default=0.0, min=0, max=0.9999)
    nesterov: bool = attr("bool", "look ahead: step by g + momentum*v", default=False)
    decay: float = attr("float", "weight decay, added to the gradient", default=0.0, min=0)

    @property
    def numbers(self) -> dict[str, int | float]:
        return {"momentum": float(self.momentum), "nesterov": int(self.nesterov), "decay": float(self.decay)}


@setting("optimizer", "adam")
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1); decay is added to the gradient."""

    kernel, states = "adam", ("mean", "square")
    decoupled = False

    lr: float = attr("float", "learning rate", default=1e-3, min=0)
    beta1: float = attr("float", "decay of the mean gradient", default=0.9, min=0, max=0.999999)
    beta2: float = attr("float", "decay of the mean squared gradient", default=0.999, min=0, max=0.999999)
    eps: float = attr("float", "added to the root", default=1e-8, min=0)
    decay: float = attr("float", "weight decay", default=0.0, min=0)

    @property
    def numbers(self) -> dict[str, int | float]:
        floats = {name: float(getattr(self, name)) for name in ("beta1", "beta2", "eps", "decay")}
        return {**floats, "decoupled": int(self.decoupled)}

    def step_numbers(self, step: int) -> tuple[float, ...]:
        """Return what makes up for moments that begin at zero: 1 - beta^t of both."""
        return 1.0 - self.beta1**step, 1.0 - self.beta2**step


@setting("optimizer", "adamw")
class AdamW(Adam):
    """Adam with decoupled weight decay: w -= lr*decay*w (Loshchilov & Hutter 2019)."""

    decoupled = True

    decay: float = attr("float", "weight decay", default=0.01, min=0)


# ---- schedule: `schedule warmup 5 -> cosine` -----------------------------------------------------
@setting("schedule", "constant")
class Constant:
    """The learning rate stays as it is."""


@setting("schedule", "step")
class Step:
    """The learning rate is multiplied by ``gamma`` every ``every`` epochs."""

    every: int = attr("int", "epochs between two changes", positional=True, min=1)
    gamma: float = attr("float", "factor of a change", default=0.1, min=0, max=1)


@setting("schedule", "cosine")
class Cosine:
    """Half a cosine down to ``to`` times the learning rate (Loshchilov & Hutter 2017), step by step."""

    to: float = attr("float", "last factor", default=0.0, min=0, max=1)


@setting("schedule", "warmup")
class Warmup:
    """The learning rate rises in a line over the first epochs; stands before another schedule."""

    epochs: int = attr("int", "epochs of rise", positional=True, min=1)


# ---- keep, stop ---------------------------------------------------------------------------------
METRICS = ("train.loss", "train.accuracy", "val.loss", "val.accuracy")


@setting("keep", "best")
class KeepBest:
    """Also keep the weights of the best epoch, as best.safetensors."""

    on: str = attr("word", "what is compared", default="val.accuracy", choices=METRICS)


@setting("stop", "patience")
class Patience:
    """Stop when the metric has not improved for so many epochs."""

    patience: int = attr("int", "epochs without improvement", key="patience", min=1)
    on: str = attr("word", "what is compared", default="val.loss", choices=METRICS)


# ---- data sources: `source digits`, `source folders "data/flowers" resize=crop` --------------------
@setting("source", "digits")
class Digits:
    """1,797 handwritten digits, 8x8x1, ten classes (UCI, CC BY 4.0); inside the package."""

    classes, shape = 10, (8, 8, 1)  # what check can know without opening a file


@setting("source", "fashion_mnist")
class FashionMnist:
    """Fashion-MNIST, 28x28x1, ten classes: from ``path``, $CNNSPEC_DATA or Debian's dataset-fashion-mnist."""

    classes, shape = 10, (28, 28, 1)

    path: str = attr("str", "folder of the four IDX files", positional=True, default="")


@setting("source", "mnist")
class Mnist:
    """MNIST, or QMNIST, in its four IDX files, gz or not; in ``path`` or $CNNSPEC_DATA/mnist."""

    classes, shape = 10, (28, 28, 1)

    path: str = attr("str", "folder of the four IDX files", positional=True, default="")
    transpose: bool = attr("bool", "turn pictures that are stored column by column, as EMNIST's", default=False)


@setting("source", "idx")
class Idx:
    """IDX files named as those of MNIST, EMNIST or QMNIST (train-images..., t10k-images...), gz or not."""

    path: str = attr("str", "folder of the files, or with what their names begin: gzip/emnist-letters", positional=True)
    transpose: bool = attr("bool", "turn pictures that are stored column by column, as EMNIST's", default=False)
    first: int = attr("int", "the label of the first class: 1 for the letters of EMNIST", default=0, min=0, max=1000)


@setting("source", "folders")
class Folders:
    """Pictures, one folder a class, in the usual formats; or train/ with such folders, and val/, test/."""

    own_validation = True  # where the folder has a part for it

    path: str = attr("str", "folder", positional=True)
    resize: str = attr(
        "word",
        "to the input size: fit pads with black, crop fills and cuts, stretch ignores the aspect",
        default="crop",
        choices=("crop", "fit", "stretch"),
    )
    ground: str = attr("word", "what transparent places show", default="white", choices=("white", "black"))
    black: float | None = attr("float", "number that is black, in pictures of more than 8 bits a channel", default=None)
    white: float | None = attr(
        "float", "number that is white in them: 4095, say; else that of the format", default=None
    )
    draft: bool = attr(
        "bool", "decode JPEGs of twice the input's size and more at a half, quarter or eighth: faster", default=False
    )


@setting("source", "npz")
class Npz:
    """A NumPy file of x_train, y_train, perhaps x_val, y_val, x_test, y_test; x is [N,H,W,C] or [N,H,W]."""

    own_validation = True  # where the file holds x_val

    path: str = attr("str", "the .npz file", positional=True)


@setting("source", "csv")
class Csv:
    """A table of pixels, gz or not: a row an image, a column its label, as Kaggle's digit files."""

    path: str = attr("str", "the .csv file to train on", positional=True)
    test: str = attr("str", "a .csv file to test on", default="")
    val: str = attr("str", "a .csv file to validate on", default="")
    label: str = attr("str", "the labels' column: its name, or number from 0; else `label`, or the first", default="")
    transpose: bool = attr("bool", "turn pictures that are stored column by column, as EMNIST's", default=False)
    first: int = attr("int", "the label of the first class: 1 for the letters of EMNIST", default=0, min=0, max=1000)

    @property
    def own_validation(self) -> bool:
        return bool(self.val)


def fitting_source(shape: Sequence[int] | None) -> str:
    """Return a source, as a spec writes it, whose images have this shape: what to suggest where none is named."""
    for word, source in SETTINGS["source"].items():
        if shape is not None and getattr(source, "shape", None) == tuple(shape):
            return word
    return 'folders "data/pictures"' if shape is None or shape[-1] in (1, 3) else 'npz "data.npz"'


# ---- statements of one form: the word of the registry is empty -------------------------------------
@setting("normalize", "")
class Normalize:
    """x = (pixel/255 - mean) / std; numbers of each channel, or of all."""

    mean: tuple[float, ...] = attr("floats", "subtracted, one number a channel or one for all")
    std: tuple[float, ...] = attr("floats", "divided by, one number a channel or one for all", min=1e-12)


@setting("split", "")
class Split:
    """The share of the training set kept for validation; the seed draws it."""

    val: float = attr("float", "share of the training set kept for validation", min=0, max=0.99)


@setting("epochs", "")
class Epochs:
    """How often training goes through the training set."""

    epochs: int = attr("int", "rounds through the training set", positional=True, min=1, max=1_000_000)


@setting("batch", "")
class Batch:
    """How many samples one step looks at; the last batch of an epoch may be shorter."""

    batch: int = attr("int", "samples a step", positional=True, min=1, max=1_000_000)


@setting("seed", "")
class Seed:
    """The number that all randomness starts from: weights, shuffling, dropout, the validation split."""

    seed: int = attr("int", "start of all randomness", positional=True, min=0, max=2**63 - 1)


# ---- freeze, unfreeze: statements that may stand more than once, read in order ---------------------
@setting("freeze", "")
class Freeze:
    """Layers or parameters that training leaves as they are, by a pattern of their names.

    ``*`` stands for any letters, dots too: ``"stage1.*"``, ``"*.bias"``. A name also means all below it: ``"stage1"``
    is a layer, a block or a line of that label with all its layers. No optimizer changes what is frozen, by weight
    decay neither. A batch norm that is frozen normalises by its running statistics, and leaves them as they are.
    """

    pattern: str = attr("str", "names of layers or parameters, with * for any letters", positional=True)


@setting("unfreeze", "")
class Unfreeze:
    """The epoch from which frozen layers or parameters learn after all, by a pattern as in ``freeze``.

    Their states in the optimizer begin there, as those of all others begin in the first step.
    """

    pattern: str = attr("str", "names of layers or parameters, with * for any letters", positional=True)
    epoch: int = attr("int", "the first epoch that changes them", key="at", min=2, max=1_000_000)


REPEATED = ("freeze", "unfreeze")

# which statements each section holds
SECTIONS = {
    "data": ("source", "split", "normalize"),
    "train": ("loss", "optimizer", "schedule", "epochs", "batch", "seed", "keep", "stop", *REPEATED),
}


@dataclass(frozen=True)
class DataSettings:
    """The ``data`` section. ``val`` is the share of the training set kept for validation, in [0, 1)."""

    source: Any  # one of the source classes above
    val: float = 0.0
    normalize: Normalize | None = None
    span: Span | None = None


@dataclass(frozen=True)
class TrainSettings:
    """The ``train`` section, defaults filled in. ``schedule`` follows ``warmup_epochs`` of linear rise."""

    loss: Any = field(default_factory=CrossEntropy)
    optimizer: Optimizer = field(default_factory=lambda: SGD(lr=0.05, momentum=0.9))
    schedule: Any = field(default_factory=Constant)
    warmup_epochs: int = 0
    epochs: int = 10
    batch: int = 64
    seed: int = 1
    keep: KeepBest | None = None
    stop: Patience | None = None
    frozen: tuple[Freeze | Unfreeze, ...] = ()  # in the order in which they hold
    span: Span | None = None
