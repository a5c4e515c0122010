"""Order and places: sorting and what follows from it, running extremes, scatters and segments.

Loaded when a name is first used. Names, arguments and results are those of NumPy and the array API
standard; of PyTorch, for what PyTorch alone has. ``NAMES`` is all that ``import nets`` reads.
"""

from typing import Final

_ROOM: Final = "nets.frontend.tensor.order"

_MODULES: Final = {
    "sorting": "sort argsort lexsort partition argpartition topk kthvalue",
    "searching": "searchsorted bucketize digitize",
    "quantiles": "median nanmedian quantile nanquantile percentile nanpercentile",
    "running": "cumprod cumulative_prod cummax cummin logcumsumexp",
    "distinct": "unique unique_all unique_consecutive unique_counts unique_inverse unique_values",
    "counting": "bincount histc histogram histogram_bin_edges",
    "scattering": "scatter scatter_add scatter_reduce index_add "
    "put_along_axis masked_scatter masked_select",
    "segments": "segment_sum segment_prod segment_max segment_min segment_mean segment_softmax",
}

NAMES: Final = {
    name: f"{_ROOM}.{room}" for room, names in _MODULES.items() for name in names.split()
}
"""Public name → the module that has it."""
