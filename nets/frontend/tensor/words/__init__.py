"""Words: the rest of NumPy's names and of the array API standard, loaded when they are first used.

What stands here is composed of ``nets.frontend.tensor.functions``, so that it has gradients,
batches, compiles and exports. Arguments, defaults, dtypes of results and errors are NumPy's.
``NAMES`` is all that ``import nets`` reads.
"""

from typing import Final

_ROOM: Final = "nets.frontend.tensor.words"

_MODULES: Final = {
    "dtypes": "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 "
    "e pi inf nan newaxis finfo iinfo isdtype result_type promote_types can_cast "
    "__array_namespace_info__ __array_api_version__",
    "creation": "asarray empty empty_like copy tri identity logspace geomspace meshgrid indices "
    "ix_ fromfunction from_dlpack",
    "triangles": "tril_indices triu_indices tril_indices_from triu_indices_from diag_indices "
    "diag_indices_from mask_indices diag diagflat diagonal",
    "grids": "mgrid ogrid s_ index_exp",
    "axes": "broadcast_shapes atleast_1d atleast_2d atleast_3d rollaxis rot90 flipud fliplr ravel "
    "size shape ndim",
    "joining": "vstack row_stack hstack dstack column_stack block unstack array_split hsplit "
    "vsplit dsplit delete insert resize",
    "positions": "nonzero flatnonzero argwhere count_nonzero unravel_index ravel_multi_index",
    "choosing": "select choose compress extract piecewise apply_along_axis apply_over_axes",
    "comparing": "isclose allclose array_equal array_equiv isin",
    "differences": "diff ediff1d gradient trapezoid cumulative_sum unwrap",
    "statistics": "average cov corrcoef ptp",
    "nan_reductions": "nansum nanprod nanmean nanvar nanstd nanmax nanmin nanargmax nanargmin "
    "nancumsum nancumprod",
    "polynomials": "polyval polyadd polysub polymul polyder polyint polyfit vander interp",
    "products": "inner vdot matvec vecmat kron cross convolve correlate cdist pdist",
    "elementwise": "around isreal iscomplex isrealobj iscomplexobj",
    "tapers": "bartlett blackman hamming hanning kaiser",
}

NAMES: Final = {
    name: f"{_ROOM}.{room}" for room, names in _MODULES.items() for name in names.split()
}
"""Public name → the module that has it."""
