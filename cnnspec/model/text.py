"""A model as text, one layer a line: what ``cnnspec dump --stage model`` prints."""

from __future__ import annotations

from typing import Any

from ..ir.fields import attrs_of, dims
from ..ir.filters import Filter
from .forms import format_default, written
from .model import Model


def print_model(model: Model) -> str:
    """Return the model as text; equal models print equally."""
    lines = [f"input {dims(model.input_shape)}"]
    if model.classes is not None:
        lines.append(f"classes {model.classes}")
    for layer in model.layers:
        said = [
            name for name, a in written(type(layer.op)).items() if a.function or getattr(layer.op, name) != a.default
        ]
        fields = ", ".join(f"{name} = {_value(getattr(layer.op, name))}" for name in said)
        shapes = ", ".join(dims(s) for s in layer.in_shapes)
        trail = "".join(f" < {f.kind} {f.name}, line {f.span.line}" for f in reversed(layer.trail))
        lines.append(
            f"{layer.name} = {layer.op.name} {', '.join(layer.inputs)}{f' {{{fields}}}' if fields else ''}"
            f" : {shapes} -> {dims(layer.out_shape)}  # line {layer.span.line}{trail}"
        )
        lines += [f"    {layer.name}.{p.name}: {dims(p.shape)} {p.init}" for p in layer.params]
    lines.append(f"output {model.output}")
    if model.data is not None:
        lines.append(f"data {_setting(model.data.source)} val={model.data.val:g}")
        if model.data.normalize is not None:
            lines.append(f"  {_setting(model.data.normalize)}")
    t = model.train
    lines.append(f"train {_setting(t.loss)} {_setting(t.optimizer)} {_setting(t.schedule)} warmup={t.warmup_epochs}")
    lines.append(f"  epochs={t.epochs} batch={t.batch} seed={t.seed}")
    lines += [f"  {_setting(s)}" for s in (t.keep, t.stop, *t.frozen) if s is not None]
    lines += [f"expect {e.metric} {e.relation} {e.value:.12g}" for e in model.expects]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return (
        format_default(value) if isinstance(value, tuple) and any(isinstance(v, Filter) for v in value) else str(value)
    )


def _setting(setting: Any) -> str:
    fields = ", ".join(f"{name} = {_value(getattr(setting, name))}" for name in attrs_of(type(setting)))
    return f"{type(setting).__name__}({fields})"
