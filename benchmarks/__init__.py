"""cnnspec against PyTorch and onnxruntime on the same cores: ``python -m benchmarks --help``."""
