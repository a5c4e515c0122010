"""Linear algebra: factorisations, solutions of systems, and what is made of them.

Names and arguments are those of NumPy and the array API standard; a few (``lu``, ``lu_factor``,
``lu_solve``, ``solve_triangular``, ``expm``) are SciPy's. Everything works on stacks of matrices,
eagerly, in traces and in exported libraries, which need no other library for it, and has
derivatives of every order.

A matrix that has no such factor or solution is a LinAlgError where it is known, in eager code; in
traced code it gives NaN or infinities.
"""

from nets.linalg.cholesky import cholesky

__all__ = ["cholesky"]
