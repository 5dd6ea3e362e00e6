"""Words that other libraries use for what the language calls otherwise, and layers that it does not have yet."""

from __future__ import annotations

import re

# written without `_`, in lower case, and without an ending such as 2d
LAYERS_ELSEWHERE = {
    "batchnorm": "bn",
    "batchnormalization": "bn",
    "norm": "bn",
    "linear": "dense",
    "fc": "dense",
    "fullyconnected": "dense",
    "innerproduct": "dense",
    "convolution": "conv",
    "depthwiseconv": "depthwise",
    "depthwiseconvolution": "depthwise",
    "averagepool": "avgpool",
    "averagepooling": "avgpool",
    "globalavgpool": "avgpool global",
    "globalaveragepool": "avgpool global",
    "globalaveragepooling": "avgpool global",
    "gap": "avgpool global",
    "lrelu": "leaky_relu",
    "concatenate": "concat",
    "mul": "multiply",
    "skip": "residual",
    "shortcut": "residual",
}
KEYS_ELSEWHERE = {
    "filters": "out_channels",
    "channels": "out_channels",
    "outchannels": "out_channels",
    "kernel": "size",
    "kernelsize": "size",
    "poolsize": "size",
    "padding": "pad",
    "strides": "stride",
    "dilationrate": "dilation",
    "usebias": "bias",
    "outfeatures": "units",
    "weightdecay": "decay",
    "learningrate": "lr",
}
AMBIGUOUS = {"norm", "skip", "shortcut"}  # may be another thing elsewhere
# near in letters to a layer of ours, but another thing
NO_LAYERS_OF_OURS = {
    "attention", "avgunpool", "celu", "convtranspose", "deconv", "elu", "embedding", "gelu", "glu", "groupnorm", "gru",
    "hardsigmoid", "hardswish", "hardtanh", "instancenorm", "lambda", "layernorm", "logsoftmax", "lstm", "maxunpool",
    "mish", "permute", "prelu", "reshape", "rnn", "selu", "silu", "softplus", "softsign", "swish", "upsample",
    "upsampling", "zeropadding",
}  # fmt: skip


def _bare(word: str) -> str:
    return re.sub(r"[123]d$", "", word.lower().replace("_", ""))


def layer_elsewhere(word: str) -> str | None:
    """Return what the language calls a layer of this name elsewhere: ``dense`` for ``Linear``; None if it has none."""
    return LAYERS_ELSEWHERE.get(_bare(word))


def is_no_layer_of_ours(word: str) -> bool:
    """Return whether a word names a known kind of layer that the language does not have."""
    return _bare(word) in NO_LAYERS_OF_OURS


def key_elsewhere(key: str) -> str | None:
    """Return what the language calls an argument of this name elsewhere: ``size`` for ``kernel_size``."""
    return KEYS_ELSEWHERE.get(_bare(key))


__all__ = ["AMBIGUOUS", "is_no_layer_of_ours", "key_elsewhere", "layer_elsewhere"]
