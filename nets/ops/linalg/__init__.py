"""Factorisations of matrices: what each means in NumPy, its derivatives, and its loops.

Everything is + − × ÷ √ in one fixed order, so native code has the bits of the reference: element
by element, terms in the order of the columns (or sweeps) they come from, no fused operation.
"""
