"""Graphs as text, and text as graphs. ``cnnspec dump`` prints this text, and the tests of passes are written in it.

One node a line: outputs with dtype and shape, op, inputs, fields that differ from their defaults, and the layer.

%2: f32[N,28,28,6] = conv %x, %conv1.weight, %conv1.bias {out_channels=6, kernel_size=(5, 5)}  ; conv1
"""

from __future__ import annotations

import ast
import dataclasses
import re
from typing import Any

from ..ir.fields import Param
from ..ir.graph import OPS
from .graph import Graph, Node, ParamValue, Value


def print_graph(graph: Graph) -> str:
    """Return the graph as text, one line for each input, parameter, node and result."""
    lines = [f"input {_typed(v)}" for v in graph.inputs]
    for p in graph.params.values():
        marks = ("" if p.param.trainable else " frozen") + (f" groups={p.param.groups}" if p.param.groups > 1 else "")
        lines.append(f"param {_typed(p.value)}{marks}")
    lines.extend(print_node(node) for node in graph.nodes)
    lines.extend(f"output {name} = {v}" for name, v in graph.outputs.items())
    lines.extend(f"update {name} = {v}" for name, v in graph.updates.items())
    return "\n".join(lines) + "\n"


def print_node(node: Node) -> str:
    """Return one node as a line of text."""
    made = ", ".join(_typed(v) for v in node.outputs)
    read = "".join(f"{',' if i else ''} {v}" for i, v in enumerate(node.inputs))
    fields = []
    for f in dataclasses.fields(node.op):  # type: ignore[arg-type]
        value = getattr(node.op, f.name)
        if f.default is dataclasses.MISSING or value != f.default:
            fields.append(f"{f.name}={value!r}")
    braces = f" {{{', '.join(fields)}}}" if fields else ""
    origin = f"  ; {node.layer}" if node.layer else ""
    return f"{made} = {node.op.name}{read}{braces}{origin}"


def parse_graph(text: str) -> Graph:
    """Return the graph of a text of :func:`print_graph`.

    Ops are found in the registry, so the package ``cnnspec.ops`` must have been imported.

    Raises
    ------
    ValueError
        If a line is no graph text. The message names the line.
    """
    values: dict[str, Value] = {}
    inputs: list[Value] = []
    params: dict[str, ParamValue] = {}
    nodes: list[Node] = []
    results: dict[str, dict[str, Value]] = {"output": {}, "update": {}}
    for number, raw in enumerate(text.splitlines(), start=1):
        line, _, layer = raw.partition("  ; ")
        word, _, tail = line.strip().partition(" ")
        try:
            if not word or word == ";":
                continue
            if word == "input":
                inputs.append(_parse_typed(tail, values))
            elif word == "param":
                typed, _, marks = tail.partition("] ")
                v = _parse_typed(typed.rstrip("]") + "]", values)
                groups = int(marks.partition("groups=")[2] or 1)
                own = Param(v.name.rpartition(".")[2], v.sample, trainable="frozen" not in marks, groups=groups)
                params[v.name] = ParamValue(v, own)
            elif word in results:
                name, _, v_name = tail.partition(" = ")
                results[word][name] = values[v_name.lstrip("%")]
            else:
                nodes.append(_parse_node(line.strip(), layer.strip(), values))
        except (KeyError, ValueError, TypeError, SyntaxError) as error:
            raise ValueError(f"line {number} is no graph text: {raw!r} ({error})") from error
    return Graph(tuple(inputs), params, tuple(nodes), results["output"], results["update"])


def _typed(v: Value) -> str:
    return f"{v}: {v.dtype}[{','.join(str(d) for d in v.shape)}]"


_TYPED = re.compile(r"%(\S+): (\w+)\[([^\]]*)\]")
_NODE = re.compile(r"(?P<made>.*?) = (?P<op>\w+)(?P<read>[^{]*)(?:\{(?P<fields>.*)\})?$")


def _parse_typed(text: str, values: dict[str, Value]) -> Value:
    match = _TYPED.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"expected %NAME: DTYPE[SHAPE], found {text!r}")
    name, dtype, shape = match.groups()
    value = Value(name, tuple("N" if d == "N" else int(d) for d in shape.split(",") if d), dtype)
    values[name] = value
    return value


def _parse_node(line: str, layer: str, values: dict[str, Value]) -> Node:
    match = _NODE.match(line)
    if match is None:
        raise ValueError("expected VALUES = OP VALUES {FIELDS}")
    read = [values[name.strip().lstrip("%")] for name in match["read"].split(",") if name.strip()]
    fields: dict[str, Any] = {}
    if match["fields"]:
        call = ast.parse(f"f({match['fields']})", mode="eval").body
        assert isinstance(call, ast.Call)
        fields = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    made = [_parse_typed(m.group(0), values) for m in _TYPED.finditer(match["made"])]
    return Node(OPS[match["op"]](**fields), tuple(read), tuple(made), layer)
