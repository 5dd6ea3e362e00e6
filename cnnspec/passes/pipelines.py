"""The lists of passes for inference and training, and the graphs that they make of a model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ..autodiff import differentiate
from ..errors import Diagnostic, SpecError
from ..ir.fields import dims
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
FORWARD: tuple[Pass, ...] = (PoolFirst(), FuseActivation(training=True))  # before the gradients are appended
TRAINING: tuple[Pass, ...] = (  # after the gradients are appended
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
    """Return the passes to run. With ``exact``, passes that change the order of a convolution's sums are left out."""
    return tuple(one for one in passes if not (options.exact and isinstance(one, ChooseAlgorithm | PoolFirst)))


def inference_graph(model: Model, options: Options = DEFAULT) -> Graph:
    """Return the forward graph with running statistics, after all passes of INFERENCE."""
    graph = build_graph(model, training=False, target=options.target)
    return run_pipeline(graph, pipeline(INFERENCE, options))


def training_graph(model: Model, options: Options = DEFAULT) -> Graph:
    """Return the graph of one training step without the optimizer: forward, loss and gradients.

    Raises
    ------
    SpecError
        If the net ends in an image [H, W, C], for which there is no loss, or if all its parameters are frozen.
    """
    if len(model.output_shape) != 1:
        raise SpecError([_no_loss(model)])
    graph = build_graph(model, training=True, target=options.target, epoch=options.epoch)
    forward = run_pipeline(graph, pipeline(FORWARD, options))
    trainable = {name: p.param for name, p in forward.params.items() if p.param.trainable}
    learning = tuple(name for name, param in trainable.items() if not param.is_frozen(options.epoch))
    if trainable and not learning:
        raise SpecError([_all_frozen(model)])
    return run_pipeline(differentiate(forward, wanted=learning), pipeline(TRAINING, options))


def traced_graph(
    model: Model, options: Options = DEFAULT, *, names: Collection[str], training: bool, gradients: bool
) -> Graph:
    """Return a graph whose results are outputs of layers, ``layer:NAME``, and gradients of the mean loss.

    Passes leave results as they are. So no pass fuses a layer with the next one if its output or its gradient is a
    result. All other nodes are the same as in a plain run. With gradients in inference, batch norms are not folded.
    Running statistics are not updated.

    Parameters
    ----------
    names : names of layers, ``input``, or names of trainable parameters. Of parameters only gradients are results.
    training : True for statistics of the batch and dropout, False for running statistics and no dropout.
    gradients : True for the further results ``grad:layer:NAME`` and ``grad:PARAMETER``.

    Raises
    ------
    SpecError
        If gradients are asked for and the net ends in an image [H, W, C], for which there is no loss.
    """
    if gradients and len(model.output_shape) != 1:
        raise SpecError([_no_loss(model)])
    layers = [name for name in names if name not in model.params]
    graph = build_graph(model, training=training, target=options.target, watched=layers, epoch=options.epoch)
    results = {f"layer:{name}": graph.outputs[f"layer:{name}"] for name in layers}
    if not gradients:
        graph = replace(graph, outputs=results, updates={})
        return run_pipeline(graph, pipeline((*FORWARD, *TRAINING) if training else INFERENCE, options))
    graph = run_pipeline(replace(graph, updates={}), pipeline(FORWARD, options))
    wanted = {f"layer:{name}": graph.outputs[f"layer:{name}"].name for name in layers}
    wanted |= {name: name for name in names if name in model.params}
    graph = differentiate(graph, wanted=tuple(dict.fromkeys(wanted.values())))
    results = {name: v for name, v in graph.outputs.items() if name in results or name in ("loss", "correct")}
    results |= {f"grad:{name}": graph.outputs[f"grad:{value}"] for name, value in wanted.items()}
    return run_pipeline(replace(graph, outputs=results), pipeline(TRAINING, options))


def _no_loss(model: Model) -> Diagnostic:
    last = model.layer(model.output)
    shape = dims(last.out_shape)
    return Diagnostic(
        "classes",
        f"the net ends in an image of {shape}, and a training step needs a flat vector",
        last.span,
        "no loss is known for images",
        trail=last.trail,
        hint="end with  flatten -> dense classes",
    )


def _all_frozen(model: Model) -> Diagnostic:
    first = next(layer for layer in model.layers if layer.params)
    message, hint = "every parameter of the net is frozen, and training has none to change", "let a layer learn"
    return Diagnostic("structure", message, first.span, trail=first.trail, hint=hint)
