"""Model -> Graph: every layer appends its forward nodes, and the loss follows where the output is a vector."""

from __future__ import annotations

from collections.abc import Collection

from ..ir.graph import STEP_SIZE, STEP_STRIDE, Builder, Graph, ParamValue, Value
from ..model.model import INPUT, Model
from ..ops.loss import CrossEntropyLoss, MeanSquaredErrorLoss


def build_graph(
    model: Model, *, training: bool, target: str = "i32", watched: Collection[str] = (), epoch: int = 1
) -> Graph:
    """Return the forward graph of a model.

    Parameters
    ----------
    model : the checked spec.
    training : True for statistics of the batch and dropout, False for running statistics and no dropout.
    target : dtype of the target, ``i32`` for class numbers [N] or ``f32`` for arrays [N, F] (mse only).
    watched : names of layers, or ``input``. The graph then has their outputs as further outputs ``layer:NAME``, which
        passes leave as they are.
    epoch : of the training. Layers that are frozen in it, such as batch norms, compute what they do in inference.

    Returns
    -------
    Graph with inputs ``x`` f32[N,H,W,C], ``target``, ``keys`` i64[N] (random keys of the samples) and ``step``
    f32[16], and outputs ``logits`` and, where the net ends in a vector, ``loss`` f32[N,1] and ``correct`` f32[N,1].
    """
    features = model.output_shape[-1]
    inputs = {
        "x": Value("x", ("N", *model.input_shape)),
        "target": Value("target", ("N", 1) if target == "i32" else ("N", features), target),
        "keys": Value("keys", ("N", 1), "i64"),
        "step": Value("step", (max(STEP_SIZE, STEP_STRIDE * len(model.phases)),)),
    }
    b = Builder(inputs)
    params: dict[str, ParamValue] = {}
    made = {INPUT: inputs["x"]}
    for layer in model.layers:
        b.layer = layer.name
        own = []
        for param in layer.params:
            name = f"{layer.name}.{param.name}"
            params[name] = ParamValue(Value(name, param.shape), param)
            own.append(params[name].value)
        learns = training and not layer.is_frozen(epoch)
        made[layer.name] = layer.op.build(b, [made[name] for name in layer.inputs], own, learns)
    b.layer = ""
    logits = made[model.output] if model.layers else inputs["x"]
    outputs = {"logits": logits}
    if len(logits.sample) == 1:
        loss = model.train.loss
        op = MeanSquaredErrorLoss() if loss.word == "mse" else CrossEntropyLoss(loss.smooth)
        outputs["loss"], outputs["correct"] = b.add_all(op, logits, inputs["target"])
    outputs |= {f"layer:{name}": made[name] for name in watched}
    return Graph(tuple(inputs.values()), params, tuple(b.nodes), outputs, b.updates)
