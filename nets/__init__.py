"""nets: NumPy-style tensor programs and their gradients, compiled ahead of time to native code."""

from nets.frontend.functions import *  # noqa
from nets.frontend.tensor import Tensor
