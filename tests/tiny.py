"""The spec that tests of commands train: small, on the built-in digits."""

SPEC = """\
input 8x8x1
conv 8 3x3 -> relu
maxpool 2
flatten
dense classes
data {
  source digits
  split val=10%
}
train {
  optimizer adam lr=0.01
  epochs 2
  batch 32
  keep best on=val.accuracy
}
expect test.accuracy >= 50%
"""
