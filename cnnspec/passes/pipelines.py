"""The pipelines: plain lists of passes, and the two graphs that they make of a model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ..autodiff import differentiate
from ..errors import Diagnostic, SpecError
from ..ir.graph import Graph
from ..model.model import Model
from ..options import DEFAULT, Options
from ..passes.build import build_graph
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


def pipeline(passes: Sequence[Pass], options: Options) -> tuple[Pass, ...]:
    """Return the passes to run; of an exact net none that computes a convolution in other ways than it is defined."""
    return tuple(one for one in passes if not (options.exact and isinstance(one, ChooseAlgorithm | PoolFirst)))


def inference_graph(model: Model, options: Options = DEFAULT) -> Graph:
    """Return the graph of inference: batch norms folded, activations fused."""
    graph = build_graph(model, training=False, target=options.target)
    return run_pipeline(graph, pipeline(INFERENCE, options))


def training_graph(model: Model, options: Options = DEFAULT) -> Graph:
    """Return the graph of one training step without the optimizer: forward, loss and gradients.

    Raises
    ------
    SpecError
        If the net ends in an image, of which no loss is known.
    """
    if len(model.output_shape) != 1:
        raise SpecError([_no_loss(model)])
    graph = build_graph(model, training=True, target=options.target)
    forward = run_pipeline(graph, pipeline(FORWARD, options))
    return run_pipeline(differentiate(forward), pipeline(TRAINING, options))


def traced_graph(model: Model, options: Options = DEFAULT, *, training: bool, watched: Collection[str]) -> Graph:
    """Return the forward graph of training or inference with the outputs of some layers as results ``layer:NAME``.

    No pass fuses a layer with the next where its output is a result; all else is computed as in a plain run. The
    running statistics are not updated.

    Parameters
    ----------
    training : with statistics of the batch and dropout, or as in inference.
    watched : names of layers, or ``input``.
    """
    graph = build_graph(model, training=training, target=options.target, watched=watched)
    outputs = {name: v for name, v in graph.outputs.items() if name.startswith("layer:")}
    graph = replace(graph, outputs=outputs, updates={})
    return run_pipeline(graph, pipeline((*FORWARD, *TRAINING) if training else INFERENCE, options))


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
