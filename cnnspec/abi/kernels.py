"""The table of kernels: what each family is called with.

Shapes are in elements. Images are NHWC: x[sample, row, pixel, channel] lies ``x_sample_stride``, ``x_row_stride`` and
``x_pixel_stride`` elements from the next. ``n``, the samples of a call, is no argument: every kernel gets it.
Filters lie in panels of output channels: [groups][panels][kernel_height][kernel_width * in_channels][panel width].
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from ..errors import InternalError
from .signature import Signature, line_strides, parse, sample_strides, strides

SIGNATURES: dict[str, tuple[str, str]] = {}  # family -> operands, arguments; see parse


def define(families: str, operands: str, arguments: str) -> None:
    for family in families.split():
        assert family not in SIGNATURES, family
        SIGNATURES[family] = operands, arguments


@cache
def signature_of(kernel: str) -> Signature:
    """Return the signature of a kernel, e.g. ``affine.addend.f32``: the family, then words of the variant."""
    family, *words = kernel.split(".")
    if family not in SIGNATURES:
        raise InternalError(f"no signature: cnnspec/abi/kernels.py does not define {family}; please report this")
    return parse(*SIGNATURES[family], frozenset(words))


def pack(kernel: str, operands: Mapping[str, Any], arguments: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return operands and arguments as namedtuples in the kernel's order; InternalError where the names do not fit."""
    return signature_of(kernel).pack(kernel, operands, arguments)


IMAGE = "height width channels"
# An activation fused into a kernel: its code, its parameter, and the bounds where it only keeps numbers between two.
FUNCTION = "activation parameter:float low:float high:float"

# ---- one number at a time (kernels/pointwise.py): rows of row_elements numbers side by side
define("fill", "y!", "elements value:float")
define("fill_pixels", "y!", f"{IMAGE} {strides('y')}")
define("clear_halo", "y!", "y_sample_stride y_row_stride height halo_rows halo_elements")
define("activation", "x y!", f"rows row_elements {line_strides('x y')} activation parameter:float")
define("activation_grad", "dy v dx!", f"rows row_elements {line_strides('dy v dx')} activation parameter:float")
define("relu_grad", "dy y addend dx!", f"rows row_elements {line_strides('dy y addend dx')}")
define("add", "x z y!", f"rows row_elements {line_strides('x z y')} activation parameter:float")
define("multiply", "x z y!", f"rows row_elements {line_strides('x z y')}")
define("scale_channels", "x z y!", f"{IMAGE} {strides('x')} z_sample_stride {strides('y')}")
define("copy", "x y!", f"{IMAGE} {strides('x y')}")
define("join", "x y!", "start elements")  # start: element of y where x begins
define(
    "random_drop", "x keys:i64 y!", f"rows row_elements {line_strides('x y')} keys_sample_stride rate:float stream"
)  # stream: number of the layer among those that draw

# ---- input (kernels/samples.py): samples [rows, row_elements] of a data set of ``samples``
define("take_samples", "images:u8@bytes images@-bytes index:i64 scale shift x! wrong:i64!", "samples rows row_elements")

# ---- pooling (kernels/pool.py): the image x or dx [height, width, channels], pooled to [out_height, out_width]
POOL = (
    f"{IMAGE} out_height out_width kernel_height kernel_width stride_height stride_width padding_height padding_width"
)
define("maxpool", "x y! indices!:u8@-values", f"{POOL} {strides('x y')} {strides('indices', '-values')}")
define("maxpool_grad", "dy indices:u8 dx!", f"{POOL} {strides('dy indices dx')}")
define("avgpool", "x y!", f"{POOL} {strides('x y')}")
define("avgpool_grad", "dy dx!", f"{POOL} {strides('dy dx')}")
define("spatial_sum", "x y!", f"{IMAGE} {strides('x')} y_sample_stride")

# ---- convolution (kernels/conv.py, narrow.py, overlap.py)
# x_row_stride, x_pixel_stride: from the window of one output to the next, so the stride of the convolution times those
# of the image. tap_row_stride, tap_pixel_stride: from tap to tap in a window. Where taps of a row lie side by side,
# kernel_width is 1 and in_channels is the length of the whole run.
TAPS = "kernel_height tap_row_stride kernel_width tap_pixel_stride in_channels"
define(
    "conv2d conv2d_deep conv2d_row conv2d_narrow",
    "x w bias y!",
    f"out_height out_width {strides('x y')} {TAPS} groups x_group_stride w_group_stride y_group_stride "
    f"out_channels start w_panel_stride {FUNCTION}",
)
define(
    "conv2d_weight_grad conv2d_weight_grad_narrow conv2d_weight_grad_window",
    "x dy dw!",
    f"out_height out_width {strides('x dy')} {TAPS} groups x_group_stride dw_group_stride dy_group_stride "
    "out_channels start dw_panel_stride rows",  # rows: input channels of each tap that this call computes
)
define(
    "conv2d_overlap",
    "dy filters dx! windows!",
    f"height width dy_height dy_width {strides('dy dx')} kernel_height kernel_width padding_height padding_width "
    "dy_channels dx_channels panels",
)
define(
    "flip_filters",
    "w flipped!",
    "groups w_kernel_width in_channels out_channels w_panel_width w_panel_stride w_group_stride "
    "first_row row_step rows first_column column_step columns "  # taps that the result keeps
    "panel_width panels panel_stride group_stride",  # of the result
)
define(
    "depthwise depthwise_window",
    "x w bias y!",
    f"out_height out_width channels {strides('x')} tap_row_stride tap_pixel_stride {strides('y')} "
    f"kernel_height kernel_width w_row_stride w_pixel_stride {FUNCTION}",
)
define(
    "depthwise_weight_grad depthwise_weight_grad_window",
    "x dy dw!",
    f"out_height out_width channels {strides('x dy')} kernel_height kernel_width stride_height stride_width "
    "dilation_height dilation_width",
)

# ---- Winograd's F(4x4, 3x3) (kernels/winograd.py, winograd_staged.py)
# Transformed: filters u [36][panels][in_channels][width], tiles of x v [36][tiles][in_channels], tiles of dy z
# [36][tiles][out_channels], products m [36][tiles][out_channels]. Each of the 36 planes lies a plane stride from the
# next. square, edge: room for one tile.
OUTPUT = "out_height out_width"
define("winograd_filter", "w u!", "panels in_channels rows u_plane_stride")  # rows: input channels of this block
define(
    "winograd_conv2d",
    "x u bias y! v! m! edge! addend@addend",
    f"{OUTPUT} {strides('x y')} in_channels out_channels tiles v_plane_stride m_plane_stride {FUNCTION} "
    f"u_plane_stride prefetch {strides('addend', 'addend')}",  # tiles: most at a time
)
define(
    "winograd_weight_grad",
    "x dy du! v! z! edge!",
    f"{OUTPUT} {strides('x dy')} in_channels out_channels tiles v_plane_stride z_plane_stride chunk_channels "
    "du_plane_stride",  # chunk_channels: input channels at a time
)
define("winograd_weight_back", "du dw!", "panels in_channels out_channels du_plane_stride")
# Tiles v in stages: [36][parts][tiles][part_channels], those at the right border, whole ones, bottom, corner.
define(
    "winograd_input winograd_dy",
    "x right! whole! bottom! corner! square!",
    f"{OUTPUT} {strides('x')} channels part_channels part_stride plane_stride",
)
PANEL = (
    f"{OUTPUT} batch v_plane_stride v_part_stride {strides('y')} in_channels tiles part_channels "
    f"u_plane_stride m_plane_stride {FUNCTION}"
)
define("winograd_panel", "v w bias y! u! m! turned! square! addend@addend", f"{PANEL} {strides('addend', 'addend')}")
define("winograd_panel_turned", "v w bias y! u! m! turned! square!", f"{PANEL} w_panel_width w_panel_stride w_rows")
define(
    "winograd_weight_panel",
    "v z dw! du!",
    f"{OUTPUT} batch v_plane_stride v_part_stride z_plane_stride in_channels part_channels du_plane_stride",
)

# ---- batch normalisation (kernels/norm.py)
# Vectors of one number a channel take padded_channels elements. scale_shift: [2][padded_channels]. coefficients:
# [3][padded_channels], A, B and C of dx = A*dy + B*x + C. partial: one copy for each shard, shard_stride apart.
define("batch_stats", "x partial!", f"{IMAGE} {strides('x')} padded_channels")
define("merge_stats", "partial mean! var!", "channels padded_channels shard_stride shards")
define("running_update", "batch running! totals", "channels pixels momentum:float")  # pixels: 0 for a mean
define("normalize_affine", "mean var weight bias scale_shift!", "channels padded_channels eps:float")
define(
    "affine",
    "x scale_shift y! addend@addend",
    f"{IMAGE} {strides('x y')} padded_channels {FUNCTION} {strides('addend', 'addend')}",
)
define(
    "bn_backward_reduce",
    "dy x mean partial! scale_shift@masked addend@addend total!@addend",
    f"{IMAGE} {strides('dy x')} padded_channels bound:float@masked {strides('addend total', 'addend')}",
)
define("channel_sum", "dy db!", f"{IMAGE} {strides('dy')}")
define("bn_backward_merge", "partial var dbias! dweight!", "channels padded_channels shard_stride shards eps:float")
define(
    "bn_backward_coefficients",
    "mean var weight dbias dweight coefficients!",
    "channels padded_channels pixels eps:float",
)
define("add_coefficients", "more coefficients!", "channels padded_channels first more_padded_channels")
define(
    "bn_backward_apply",
    "dy x coefficients dx! scale_shift@masked addend@addend",
    f"{IMAGE} {strides('dy x dx')} padded_channels bound:float@masked {strides('addend', 'addend')}",
)
define(
    "fold_batchnorm",
    "w b@-nobias weight bias mean var folded_w! folded_b!",
    "groups panels rows panel_width panel_stride group_stride channels eps:float",
)

# ---- losses (kernels/loss.py): vectors of ``features`` numbers
define("softmax", "x y!", f"features {sample_strides('x y')}")
define("softmax_grad", "dy y dx!", f"features {sample_strides('dy y dx')}")
define(
    "cross_entropy",
    "logits label:i32 loss! correct!",
    f"features {sample_strides('logits label loss correct')} smooth:float",
)
define(
    "cross_entropy_grad",
    "logits label:i32 step dx!",
    f"features {sample_strides('logits label step dx')} smooth:float",
)
TARGET = "target@-onehot target:i32@onehot"  # numbers, or the number of a class
define("mse", f"y {TARGET} loss! correct!", f"features {sample_strides('y target loss correct')}")
define("mse_grad", f"y {TARGET} step dx!", f"features {sample_strides('y target step dx')}")
define("finish_loss", "loss correct totals!", sample_strides("loss correct"))

# ---- optimizers (kernels/optim.py): a block of a parameter w and of its states
# The gradient has ``copies``, one for each shard, copy_stride elements apart. step: see Step.
BLOCK = "elements copy_stride copies"
define("sgd", "gradients w! velocity! totals step", f"{BLOCK} momentum:float nesterov decay:float")
define(
    "adam",
    "gradients w! mean! square! totals step",
    f"{BLOCK} beta1:float beta2:float eps:float decay:float decoupled",
)
