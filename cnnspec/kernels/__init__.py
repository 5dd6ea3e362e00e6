"""The kernels: arrays in, arrays out. A leaf of the project; plans name kernels, the runner finds them here.

Importing this package does not import numba, nor does ``load``: processes that compile do.
"""
