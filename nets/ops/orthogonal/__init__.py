"""Factorisations by orthogonal matrices, qr, eigh and svd: what each means in NumPy, its
derivatives, and its loops.

The loops are written once for two forms, one matrix per lane and one matrix in rows (``forms``).
Both have the bits of the reference: element by element, in one order, no fused operation.
"""
