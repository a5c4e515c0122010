"""Functions made of functions: gradients and their kin."""
