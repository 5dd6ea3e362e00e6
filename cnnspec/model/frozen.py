"""``freeze "stage1.*"`` and ``unfreeze "stage1.*" at=5``: which parameters stay, and how long."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import translate
from itertools import accumulate

from ..errors import Diagnostic, Fix
from ..ir.fields import Param
from .findings import Report, guessed
from .guess import meant
from .model import Layer
from .sections import Statement
from .settings import Freeze, TrainSettings

MOST_RULES = 50  # each is compared with all names of a net
LONGEST = 500  # characters of a pattern
Named = dict[str, Param]  # parameters by their name in weight files


def freeze_layers(
    layers: tuple[Layer, ...], rules: Sequence[Statement], train: TrainSettings, report: Report
) -> tuple[Layer, ...]:
    """Return the layers with the epochs in which their parameters learn. Each rule holds on top of those before it."""
    if not rules:
        return layers
    if len(rules) > MOST_RULES:
        message = f"there are at most {MOST_RULES} lines that freeze and unfreeze, and this is number {MOST_RULES + 1}"
        report(Diagnostic("structure", message, rules[MOST_RULES].span, hint='write patterns such as  "stage1.*"'))
        return layers
    params: Named = {f"{layer.name}.{p.name}": p for layer in layers for p in layer.params if p.trainable}
    before, below, lost = dict(params), _below(params), False
    for rule in rules:
        found = _named(rule.value.pattern, below)
        wrong = _misfit(rule, found, params, layers, train)
        explained = bool(found) and lost  # by a wrong line above, which was meant to freeze it
        if wrong is not None and not explained:
            report(wrong)
        lost = lost or not found
        for name in found:
            p = params[name]
            if isinstance(rule.value, Freeze):
                params[name] = replace(p, held=(), frozen_until=math.inf)
            elif p.frozen_until:
                params[name] = replace(p, frozen_until=rule.value.epoch)
    if params and all(p.is_frozen() for p in params.values()) and not all(p.is_frozen() for p in before.values()):
        message, hint = "every parameter is frozen, and training has none to change", "leave a layer to learn"
        report(Diagnostic("structure", message, rules[-1].span, hint=hint))
    return tuple(_changed(layer, params) for layer in layers)


def _changed(layer: Layer, params: Named) -> Layer:
    """Return a layer with its parameters as they are now."""
    own = tuple(params.get(f"{layer.name}.{p.name}", p) for p in layer.params)
    return layer if own == layer.params else replace(layer, changed=own)


def _below(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the names at and above some names, each with those below it: ``stem``, ``stem.conv``, ..."""
    found: dict[str, list[str]] = {}
    for name in names:
        for prefix in accumulate(name.split("."), "{}.{}".format):
            found.setdefault(prefix, []).append(name)
    return found


def _named(pattern: str, below: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names that a pattern means: those that fit, and all below a name that fits."""
    if len(pattern) > LONGEST:
        return []
    fits = re.compile(translate(pattern)).match
    return list(dict.fromkeys(name for prefix, names in below.items() if fits(prefix) for name in names))


def _misfit(
    rule: Statement, found: Sequence[str], params: Named, layers: Sequence[Layer], train: TrainSettings
) -> Diagnostic | None:
    """Return what is wrong with a rule, None if nothing is."""
    pattern, span = rule.value.pattern, rule.span
    if not found and _named(pattern, _below(layer.name for layer in layers)):
        message, label = f'"{pattern[:40]}" has no parameters to freeze', "it learns nothing"
        return Diagnostic("structure", message, span, label, hint="see the parameters in  cnnspec summary")
    if not found:
        longer = [name for name in _below(params) if name.startswith(pattern) and "." not in name[len(pattern) :]]
        near = meant(pattern, list(_below(params))[:2000], span) if not longer else Fix(span, f"{pattern}*")
        word = span.text.partition(" ")[0]
        fix = replace(near, replacement=f'{word} "{near.replacement}"', sure=False) if near is not None else None
        message, label = f'no layer and no parameter is named "{pattern[:40]}"', "nothing in the net fits this name"
        return guessed("unknown-name", message, span, label, fix, "see the names in  cnnspec summary")
    if isinstance(rule.value, Freeze):
        return None
    if not any(params[name].frozen_until for name in found):
        hint = f'write  freeze "{pattern}"  above it'
        return Diagnostic("structure", "nothing of this name is frozen", span, hint=hint)
    if rule.value.epoch > train.epochs:
        message = f"this begins with epoch {rule.value.epoch}, and training ends with epoch {train.epochs}"
        return Diagnostic("range", message, span, "it stays frozen", severity="warning")
    return None
