"""The evaluations of GradBench, written from their published descriptions.

https://github.com/gradbench/gradbench describes twelve programs and what to differentiate in each.
A file per evaluation says what it is; ``names`` has the words in which they are written once for
nets, JAX and PyTorch. Arguments are our own, drawn from a seed at sizes of that suite.
"""

FAMILY = "gradbench"
