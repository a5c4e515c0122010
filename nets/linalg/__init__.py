"""Linear algebra: factorisations, solutions of systems, and what is made of them.

Names and arguments are those of NumPy and the array API standard; a few (``lu``, ``lu_factor``,
``lu_solve``, ``solve_triangular``, ``expm``) are SciPy's. Everything works on stacks of matrices,
eagerly, in traces and in exported libraries, which need no other library for it, and has
derivatives of every order.

A matrix that has no such factor or solution is a LinAlgError where it is known, in eager code; in
traced code it gives NaN or infinities. An exported library gives these and a status that tells why,
which ``nets.load`` makes a LinAlgError again.
"""

from nets.frontend.tensor.functions import matmul, matrix_transpose, tensordot, vecdot
from nets.linalg import numpy_forms as numpy_forms
from nets.linalg.cholesky import cholesky
from nets.linalg.least_squares import cond, lstsq, matrix_rank, pinv
from nets.linalg.norms import matrix_norm, norm, vector_norm
from nets.linalg.orthogonal import qr
from nets.linalg.powers import expm, matrix_power
from nets.linalg.products import cross, diagonal, multi_dot, outer, trace
from nets.linalg.spectral import eigh, eigvalsh, svd, svdvals
from nets.linalg.systems import (
    det,
    inv,
    logdet,
    lu,
    lu_factor,
    lu_solve,
    slogdet,
    solve,
    solve_triangular,
)

__all__ = [
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "expm",
    "inv",
    "logdet",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_solve",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]
