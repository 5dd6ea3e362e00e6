"""The nets of the benchmark, each a spec that any user could write, and how they are trained here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnnspec.model.model import Model

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Net:
    """One net: its spec, the batch of training and inference, and the batches that are tried besides.

    ``checked_rate`` is the learning rate at which losses are compared: low enough that rounding errors do not grow out
    of hand in five steps.
    """

    title: str
    spec: str
    batch: int = 64
    batches: tuple[int, ...] = ()
    checked_rate: float = 0.003


NETS = {
    "lenet": Net("LeNet, 28x28x1", "specs/fashion.cnn", batches=(1, 8, 64, 256)),
    "vgg_small": Net("vgg_small, 32x32x3", "specs/vgg_small.cnn"),
    "resnet20": Net("ResNet-20, 32x32x3", "specs/zoo/resnet20.cnn", batches=(1, 8, 64, 256)),
    "mobilenetv2": Net("MobileNetV2 x0.5, 96x96x3", "benchmarks/specs/mobilenetv2_96.cnn", checked_rate=1e-4),
    "resnet18": Net("ResNet-18, 224x224x3", "specs/zoo/resnet18.cnn", batch=8, checked_rate=1e-3),
    "densenet40": Net("DenseNet-40, 32x32x3", "benchmarks/specs/densenet40.cnn"),
}

# All contenders train alike, whatever the spec says: by SGD with momentum. Steps are timed at a rate by which thousands
# of them on a few batches leave a net much as it was.
MOMENTUM = 0.9
TIMED_RATE = 1e-5


def load_model(name: str) -> Model:
    """Return the checked model of a net, with the benchmark's loss and optimizer."""
    from cnnspec.compiler import Compiler
    from cnnspec.model.settings import SGD, CrossEntropy

    model = Compiler.from_path(ROOT / NETS[name].spec).model
    optimizer = SGD(lr=NETS[name].checked_rate, momentum=MOMENTUM)
    return replace(model, train=replace(model.train, loss=CrossEntropy(), optimizer=optimizer))


# The least ratio to the best peer that `--quick` accepts, by measure, net and batch. About three quarters of what was
# measured with AVX-512 and AVX2, the lower one (NOTES.md): ratios in one run move by some 15 % on a busy machine.
GUARDS = {
    ("training", "lenet", 64): 2.4,
    ("training", "vgg_small", 64): 2.2,
    ("training", "resnet20", 64): 1.6,
    ("inference", "lenet", 64): 1.1,
    ("inference", "vgg_small", 64): 1.6,
    ("inference", "resnet20", 64): 1.4,
    ("inference", "lenet", 1): 1.2,
    ("inference", "vgg_small", 1): 1.4,
    ("inference", "resnet20", 1): 0.9,
}
