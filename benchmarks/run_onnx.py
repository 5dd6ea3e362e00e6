"""onnxruntime as a contender: the exchanged net as an ONNX graph of fixed batch, all optimisations on."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from .batches import batches

PLAIN = {
    "relu": "Relu", "hardswish": "HardSwish", "tanh": "Tanh", "sigmoid": "Sigmoid", "flatten": "Flatten",
    "identity": "Identity", "dropout": "Identity", "multiply": "Mul",
}  # fmt: skip


def to_onnx(net: dict[str, Any], arrays: dict[str, np.ndarray], batch: int) -> onnx.ModelProto:
    """Return the exchanged net as an ONNX model, opset 17, for inference on ``batch`` images NCHW."""
    nodes = [node for layer in net["layers"] for node in nodes_of(layer)]
    constants = [numpy_helper.from_array(value, name) for name, value in arrays.items()]
    constants += [numpy_helper.from_array(np.array(v, np.float32), n) for n, v in (("zero", 0.0), ("six", 6.0))]
    h, w, c = net["input"]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, c, h, w])],
        [helper.make_tensor_value_info(net["output"], TensorProto.FLOAT, [batch, net["classes"]])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def nodes_of(layer: dict[str, Any]) -> list[onnx.NodeProto]:
    """Return the ONNX nodes of a layer; the last one's output bears the layer's name."""
    kind, a, params, name = layer["kind"], layer["attributes"], layer["params"], layer["name"]
    inputs = list(layer["inputs"])
    if kind == "silu":  # opset 17 has none
        gate = f"{name}.sigmoid"
        return [
            helper.make_node("Sigmoid", inputs, [gate]),
            helper.make_node("Mul", [*inputs, gate], [name], name=name),
        ]
    attributes: dict[str, Any] = {}
    if kind in ("conv", "depthwise"):
        op = "Conv"
        inputs += list(params.values())
        attributes = {
            "kernel_shape": a["kernel_size"], "strides": a["stride"], "pads": [*a["padding"], *a["padding"]],
            "dilations": a["dilation"], "group": a.get("groups", layer["in_shape"][-1]),
        }  # fmt: skip
    elif kind == "dense":
        op, attributes = "Gemm", {"transB": 1}
        inputs += list(params.values())
    elif kind == "bn":
        op, attributes = "BatchNormalization", {"epsilon": a["eps"]}
        inputs += [params[p] for p in ("weight", "bias", "running_mean", "running_var")]
    elif kind == "avgpool" and a["kernel_size"] == layer["in_shape"][:2]:
        op = "GlobalAveragePool"
    elif kind in ("maxpool", "avgpool"):
        op = "MaxPool" if kind == "maxpool" else "AveragePool"
        pads = [*a["padding"], *a["padding"]]
        attributes = {"kernel_shape": a["kernel_size"], "strides": a["stride"], "pads": pads}
    elif kind == "relu6":
        op = "Clip"
        inputs += ["zero", "six"]
    elif kind == "leaky_relu":
        op, attributes = "LeakyRelu", {"alpha": a["slope"]}
    elif kind == "elu":
        op, attributes = "Elu", {"alpha": a["alpha"]}
    elif kind == "hardsigmoid":
        op, attributes = "HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}
    elif kind == "add":
        op = "Add" if len(inputs) == 2 else "Sum"
    elif kind == "concat":
        op, attributes = "Concat", {"axis": 1}
    elif kind == "softmax":
        op, attributes = "Softmax", {"axis": 1}
    else:
        op = PLAIN[kind]
    return [helper.make_node(op, inputs, [name], name=name, **attributes)]


class Onnx:
    """The exchanged net run by onnxruntime."""

    def __init__(self, job: dict[str, Any]) -> None:
        folder = Path(job["folder"])
        net = json.loads((folder / "net.json").read_text())
        with np.load(folder / "peers.npz", allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        self.output, self.batch, self.threads = net["output"], job["batch"], job["threads"]
        self.model = to_onnx(net, arrays, self.batch).SerializeToString()
        pool = batches(net["input"], net["classes"], self.batch)
        self.pool = [np.ascontiguousarray(x.transpose(0, 3, 1, 2)) for x, _ in pool]
        self.about = f"onnxruntime {ort.__version__}"
        self.session = self.open(self.threads)

    def open(self, threads: int) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        return ort.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])

    def logits(self) -> np.ndarray:
        return self.session.run(None, {"input": self.pool[0]})[0]

    def losses(self, steps: int) -> list[float]:
        raise NotImplementedError("onnxruntime does not train here")

    def variants(self) -> dict[str, Callable[[], object]]:
        """Plain run, and inputs and outputs bound once; for one image also with fewer threads than allowed."""
        turn = cycle(self.pool)
        sessions = {f"{self.threads} thread{'s' * (self.threads > 1)}": self.session}
        if self.batch == 1 and self.threads > 1:
            sessions["1 thread"] = self.open(1)
        variants: dict[str, Callable[[], object]] = {}
        for name, session in sessions.items():
            variants[f"run, {name}"] = self.plain(session, turn)
            variants[f"bound, {name}"] = self.bound(session, turn)
        return variants

    def plain(self, session: ort.InferenceSession, turn: Any) -> Callable[[], object]:
        return lambda: session.run(None, {"input": next(turn)})

    def bound(self, session: ort.InferenceSession, turn: Any) -> Callable[[], object]:
        bindings = {}
        for x in self.pool:
            binding = session.io_binding()
            binding.bind_cpu_input("input", x)
            binding.bind_output(self.output, "cpu")
            bindings[id(x)] = binding

        def step() -> object:
            binding = bindings[id(next(turn))]
            session.run_with_iobinding(binding)
            return binding.get_outputs()[0].numpy()

        return step
