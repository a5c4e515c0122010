"""Matrix products: the text of a kernel for one shape, out of shared microkernels and packers.

The loops are those of Goto and van de Geijn ("Anatomy of high-performance matrix multiplication",
ACM TOMS 34(3), 2008): k-blocks outside; then blocks of columns, whose part of B is packed; then
blocks of rows, whose part of A stays in the L2 cache; then a panel of B that stays in L1 while
the microkernel walks down the block of A. Small and skinny shapes leave the packing out.

What every element of the result is, bit by bit, whatever the shape, the CPU and the threads::

    out[b, i, j] = s(0) + s(1) + …            in order, over k-blocks of K_BLOCK[dtype] steps
    s(t) = fma(x[k'], y[k'], … fma(x[1], y[1], fma(x[0], y[0], 0)))       inside a block
"""

from __future__ import annotations

from functools import lru_cache

from nets.backend.llvm.gemm import dot, few
from nets.backend.llvm.gemm.blocking import choose, choose_open
from nets.backend.llvm.gemm.dot import DotProduct
from nets.backend.llvm.gemm.few import FewRows
from nets.backend.llvm.gemm.kernel_text import KernelText
from nets.backend.llvm.gemm.product import Open, Product
from nets.backend.llvm.gemm.row import RowProduct
from nets.backend.llvm.kernel_code import KernelCode
from nets.errors import CompileError
from nets.ir.estimates import about
from nets.ir.sizes import Dim, Size
from nets.ir.types import DType
from nets.machine.machine import Machine
from nets.ops.loop.kernels import K_BLOCK

__all__ = ["K_BLOCK", "product_code"]


@lru_cache(maxsize=256)
def product_code(
    dtype: DType,
    batch: Dim,
    m: Dim,
    n: Dim,
    k: Dim,
    transpose_x: bool,
    transpose_y: bool,
    machine: Machine,
) -> KernelCode:
    """The code of ``out[b, i, j] = Σ_k x[b, i, k] · y[b, k, j]`` for f32 or f64.

    The operands are contiguous and row-major: x is batch × m × k (batch × k × m with
    ``transpose_x``), y is batch × k × n (batch × n × k with ``transpose_y``), out is
    batch × m × n and overlaps neither. Any size may be 0; k = 0 gives zeros.
    """
    if dtype not in K_BLOCK:
        raise CompileError(f"there is no matrix kernel for {dtype}")
    if isinstance(batch * m * n * k, Size):
        return _open_code(dtype, (batch, m, n, k), transpose_x, transpose_y, machine)
    return _closed_code(
        dtype, about(batch), about(m), about(n), about(k), transpose_x, transpose_y, machine
    )


def _closed_code(
    dtype: DType,
    batch: int,
    m: int,
    n: int,
    k: int,
    transpose_x: bool,
    transpose_y: bool,
    machine: Machine,
) -> KernelCode:
    operands, suffix = "ptr %x, ptr %y", ""
    if n == 1 and m > 1:
        # A column of the result is a row of its transpose, x and y having changed places.
        operands, suffix = "ptr %y, ptr %x", "_swapped"
        m, n, transpose_x, transpose_y = 1, m, not transpose_y, not transpose_x
    parameters = f"{operands}, ptr %out, ptr %workspace, i64 %begin, i64 %end"
    if min(batch, m, n, k) == 0:
        return _zeros(dtype, batch * m * n, parameters)
    size = dtype.itemsize
    product: Product | RowProduct | FewRows | DotProduct
    if transpose_y and dot.suits(m, k, size, machine):
        product = DotProduct(dtype, batch, m, n, k, transpose_x, machine)
    elif not transpose_y and few.suits(m, n, k, size, machine):
        product = FewRows(dtype, batch, m, n, k, transpose_x, machine)
    elif m == 1:
        product = RowProduct(dtype, batch, n, k, machine)
    else:
        blocking = choose(dtype, m, n, k, transpose_x, transpose_y, machine)
        product = Product(dtype, batch, m, n, k, transpose_x, transpose_y, blocking, machine)
    symbol = product.name + suffix
    texts = product.write(symbol, parameters)
    return KernelCode(symbol, texts, product.workspace_bytes, product.panels)


def _open_code(
    dtype: DType,
    sizes: tuple[Dim, Dim, Dim, Dim],
    transpose_x: bool,
    transpose_y: bool,
    machine: Machine,
) -> KernelCode:
    """The code of a product of which a call tells some sizes: one kernel for all of them."""
    batch, m, n, k = (max(1, about(size)) for size in sizes)
    open = Open(*(isinstance(size, Size) for size in sizes))
    blocking = choose_open(dtype, m, n, k, transpose_x, transpose_y, machine, open.m, open.n)
    product = Product(dtype, batch, m, n, k, transpose_x, transpose_y, blocking, machine, open)
    told = {"m": sizes[1], "n": sizes[2], "k": sizes[3]}
    names = open.parameters
    parameters = "ptr %x, ptr %y, ptr %out, ptr %workspace, i64 %begin, i64 %end"
    parameters += "".join(f", i64 %{name}" for name in names)
    texts = product.write(product.name, parameters)
    panels = sizes[0] * product.panels_of(sizes[1], sizes[2])
    numbers = tuple(told[name] for name in names)
    return KernelCode(product.name, texts, product.workspace_bytes, panels, numbers)


def _zeros(dtype: DType, size: int, parameters: str) -> KernelCode:
    """The sum over an empty axis: zeros in all elements, as one panel."""
    symbol = f"nets_gemm_{dtype}_zeros_{size}"
    body = KernelText()
    with body.loop("%begin", "%end", 1):
        body.line(
            f"call void @llvm.memset.p0.i64(ptr %out, i8 0, i64 {size * dtype.itemsize}, i1 false)"
        )
    return KernelCode(symbol, {symbol: body.function(symbol, parameters)}, 0, min(size, 1))
