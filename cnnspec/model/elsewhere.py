"""Words that other libraries use for what the language calls otherwise, and layers that it does not have yet."""

from __future__ import annotations

import re

from ..ops import LAYERS

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
    "averagepooling": "avgpool",
    "globalavgpool": "avgpool global",
    "globalaveragepool": "avgpool global",
    "globalaveragepooling": "avgpool global",
    "gap": "avgpool global",
    "maxpooling": "maxpool",
    "averagepool": "avgpool",
    "avgpooling": "avgpool",
    "adaptiveavgpool": "avgpool global",
    "lrelu": "leaky_relu",
    "swish": "silu",
    "hswish": "hardswish",
    "hardsilu": "hardswish",
    "hsigmoid": "hardsigmoid",
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
    "negativeslope": "slope",
    "epsilon": "eps",
    "outfeatures": "units",
    "weightdecay": "decay",
    "learningrate": "lr",
}
# settings and their choices
WORDS_ELSEWHERE = {
    "batchsize": "batch",
    "numepochs": "epochs",
    "crossentropy": "cross_entropy",
    "crossentropyloss": "cross_entropy",
    "categoricalcrossentropy": "cross_entropy",
    "sparsecategoricalcrossentropy": "cross_entropy",
    "mseloss": "mse",
    "meansquarederror": "mse",
    "earlystopping": "stop",
    "modelcheckpoint": "keep",
    "steplr": "step",
    "cosineannealinglr": "cosine",
    "cosineannealing": "cosine",
    "imagefolder": "folders",
    "validationsplit": "split",
    "fashionmnist": "fashion_mnist",
    "randomseed": "seed",
}
# arguments of a training in Python
ARGUMENTS_ELSEWHERE = {
    "batchsize": "batch=",
    "numepochs": "epochs=",
    "nepochs": "epochs=",
    "validationdata": "validation=(x, y)",
    "valdata": "validation=(x, y)",
    "verbose": "progress=True or progress=False",
    "callbacks": "reporter=",
}
AMBIGUOUS = {"norm", "skip", "shortcut"}  # may be another thing elsewhere
# near in letters to a layer of ours, but another thing, unless it is a layer of ours by now
LAYERS_OF_OTHERS = {
    "attention", "avgunpool", "celu", "convtranspose", "deconv", "embedding", "glu", "groupnorm", "gru",
    "hardtanh", "instancenorm", "lambda", "layernorm", "logsoftmax", "lstm", "maxunpool",
    "mish", "permute", "prelu", "reshape", "rnn", "selu", "softplus", "softsign", "upsample",
    "upsampling", "zeropadding",
}  # fmt: skip


def _bare(word: str) -> str:
    return re.sub(r"[123]d$", "", word.lower().replace("_", "").replace("-", ""))


def layer_elsewhere(word: str) -> str | None:
    """Return what the language calls a layer of this name elsewhere: ``dense`` for ``Linear``; None if it has none."""
    bare = _bare(word)
    ours = {name.replace("_", ""): name for name in LAYERS}
    return LAYERS_ELSEWHERE.get(bare) or ours.get(bare)


def word_elsewhere(word: str) -> str | None:
    """Return what the language calls a setting or a choice of this name elsewhere: ``batch`` for ``batch_size``."""
    return WORDS_ELSEWHERE.get(_bare(word))


def is_certain(word: str) -> bool:
    """Return whether a layer's name elsewhere can mean one thing only: neither ``norm`` nor ``Conv1d``."""
    return _bare(word) not in AMBIGUOUS and not word.lower().endswith(("1d", "3d"))


def is_no_layer_of_ours(word: str) -> bool:
    """Return whether a word names a known kind of layer that the language does not have (yet)."""
    return layer_elsewhere(word) is None and _bare(word) in LAYERS_OF_OTHERS


def key_elsewhere(key: str) -> str | None:
    """Return what the language calls an argument of this name elsewhere: ``size`` for ``kernel_size``."""
    return KEYS_ELSEWHERE.get(_bare(key))


def is_global_maxpool(word: str) -> bool:
    """Return whether a layer of this name elsewhere is the maximum over a whole image."""
    return _bare(word) in ("globalmaxpool", "globalmaxpooling", "adaptivemaxpool", "gmp")


def argument_elsewhere(word: str) -> str | None:
    """Return what ``train()`` calls an argument of this name elsewhere: ``validation=`` for ``validation_data``."""
    return ARGUMENTS_ELSEWHERE.get(_bare(word))
