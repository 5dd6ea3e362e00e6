"""The pipelines: plain lists of passes, and the two graphs that they make of a model."""

from __future__ import annotations

from collections.abc import Sequence

from ..autodiff import differentiate
from ..errors import Diagnostic, SpecError
from ..ir.build import build_graph
from ..ir.graph import Graph
from ..model.model import Model
from .add_gradients_early import AddGradientsEarly
from .base import Pass, run_pipeline
from .choose_algorithm import ChooseAlgorithm
from .dead_code import DeadCode
from .fold_batchnorm import FoldNormalisation
from .fuse_activation import FuseActivation
from .fuse_sum import FuseGradientMask, FuseGradientSum, FuseResidualConv, FuseResidualSum
from .mask_before_unpool import MaskBeforeUnpool
from .pool_first import PoolFirst
from .recompute import Recompute
from .share_statistics import ShareStatistics

INFERENCE: tuple[Pass, ...] = (
    FoldNormalisation(),
    PoolFirst(),
    FuseActivation(),
    DeadCode(),
    ChooseAlgorithm(),
    FuseResidualConv(),
)
FORWARD: tuple[Pass, ...] = (PoolFirst(), FuseActivation())  # before differentiation
TRAINING: tuple[Pass, ...] = (  # after it
    MaskBeforeUnpool(),
    ShareStatistics(),
    DeadCode(),
    FuseGradientSum(),
    AddGradientsEarly(),
    FuseGradientMask(),
    Recompute(),
    FuseResidualSum(),
    ChooseAlgorithm(),
)
DIAGNOSIS: tuple[Pass, ...] = (DeadCode(), ChooseAlgorithm())  # nothing fused: every layer's own output


def pipeline(passes: Sequence[Pass], exact: bool) -> tuple[Pass, ...]:
    """Return the passes to run; with ``exact`` none that computes a convolution in other ways than it is defined."""
    return tuple(one for one in passes if not (exact and isinstance(one, ChooseAlgorithm | PoolFirst)))


def inference_graph(model: Model, target: str = "i32", exact: bool = False) -> Graph:
    """Return the graph of inference: batch norms folded, activations fused; ``exact``: see :func:`pipeline`."""
    return run_pipeline(build_graph(model, training=False, target=target), pipeline(INFERENCE, exact))


def training_graph(model: Model, target: str = "i32", exact: bool = False) -> Graph:
    """Return the graph of one training step without the optimizer: forward, loss and gradients.

    Raises
    ------
    SpecError
        If the net ends in an image, of which no loss is known.
    """
    if len(model.output_shape) != 1:
        raise SpecError([_no_loss(model)])
    forward = run_pipeline(build_graph(model, training=True, target=target), pipeline(FORWARD, exact))
    return run_pipeline(differentiate(forward), pipeline(TRAINING, exact))


def _no_loss(model: Model) -> Diagnostic:
    last = model.layer(model.output)
    shape = "x".join(map(str, last.out_shape))
    return Diagnostic(
        "classes",
        f"the net ends in an image of {shape}, and a training step needs a flat vector",
        last.span,
        "no loss is known for images",
        trail=last.trail,
        hint="end with  flatten -> dense classes",
    )
