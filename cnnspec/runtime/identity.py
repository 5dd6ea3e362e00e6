"""The identity of a net, by which two specs are the same: one line a layer, and the sha256 of those lines."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np

from ..ir.fields import attrs_of, dims
from ..model.model import Model
from ..model.settings import Freeze, Unfreeze


def net_lines(model: Model) -> tuple[str, ...]:
    """Return the canonical description of a net, one line for the input and each layer.

    Two models with equal lines compute the same function of equal weights. Comments, names of blocks, the
    ``data`` and ``train`` sections do not enter.
    """
    lines = [f"input {dims(model.input_shape)}"]
    for layer in model.layers:
        fields = [
            f"{a.key}={_plain(getattr(layer.op, name))}"
            for name, a in attrs_of(type(layer.op)).items()
            if a.kind != "hidden" and a.function
        ]
        words = [f"{layer.name}:", layer.op.name, *fields]
        lines.append(f"{' '.join(words)} of {', '.join(layer.inputs)} -> {dims(layer.out_shape)}")
    return tuple(lines)


def sha256_of_lines(lines: Sequence[str]) -> str:
    """Return the identity of a net."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def sha256_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the sha256 of arrays and their names, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def spec_sha256(model: Model) -> str:
    """Return the sha256 of the spec's text, of what ``--set`` changed, and of the files that it uses."""
    used = [[path, source.text] for path, source in model.used]
    content = [model.source.text, list(model.settings), *([used] if used else [])]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def used_as(model: Model) -> tuple[object, ...]:
    """Return the parts of a model that a trained net is used with: all of them must be those of the training."""
    data = model.data
    reading = (data.source, data.normalize) if data is not None else ()
    return net_lines(model), model.train.loss, *reading


def train_settings(model: Model) -> dict[str, str]:
    """Return the settings that steer the course of training as texts by key, such as ``optimizer.lr``."""
    settings, data = model.train, model.data
    found: dict[str, str] = {}
    for f in dataclasses.fields(settings):
        value = getattr(settings, f.name)
        word = getattr(value, "word", None)
        found[f.name] = _plain(value) if word is None else word
        if word is not None:
            found |= {f"{f.name}.{name}": _plain(getattr(value, name)) for name in attrs_of(type(value))}
    del found["span"], found["frozen"]
    if settings.frozen:
        found["freeze"] = "; ".join(map(_rule, settings.frozen))
    held = [name for name, p in model.params.items() if p.held]
    if held:
        found["freeze=yes"] = ", ".join(held)
    if data is not None:
        found["data.val"] = _plain(data.val)
        found["data.normalize"] = _plain(data.normalize)
    return found


def _rule(rule: Freeze | Unfreeze) -> str:
    """Return a statement as a spec writes it."""
    return f'{"unfreeze" if isinstance(rule, Unfreeze) else "freeze"} "{rule.pattern}"' + (
        f" at={rule.epoch}" if isinstance(rule, Unfreeze) else ""
    )


def _plain(value: object) -> str:
    """Texts that do not depend on how a number was written: 1 and 1.0 differ, 0.10 and 0.1 do not."""
    if isinstance(value, tuple) and value and all(isinstance(v, int) for v in value):
        return dims(value)
    return str(value).replace("\n", " ")
