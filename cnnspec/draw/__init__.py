"""Drawings of a net: the model as boxes, frames and edges (picture), their places (flow, layout), and the formats."""
