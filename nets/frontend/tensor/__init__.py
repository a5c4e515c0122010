"""Tensors, their operators and the functions, which define each other: the one circle there is."""
