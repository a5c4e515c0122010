"""Functions of the math library beyond those that all programs are made of, in families."""
