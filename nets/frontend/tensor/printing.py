"""The printed forms of a tensor: ``str``, ``repr``, and HTML for notebooks."""

from __future__ import annotations

import html
from typing import Final

import numpy as np

from nets.frontend.tensor.variable import Array

_PREFIX: Final = "tensor("
_UNMARKED: Final = ("bool", "int64", "float64")


def format_array(data: Array, requires_grad: bool = False, dtype: bool = False) -> str:
    """``tensor(…)`` with 4 digits and the rows aligned under the first one.

    The same text whatever NumPy's print options are. ``dtype`` adds the dtype where it is not
    the one NumPy gives to Python numbers.
    """
    elements = np.array2string(
        data,
        max_line_width=75,
        precision=4,
        suppress_small=False,
        separator=" ",
        prefix=_PREFIX,
        threshold=1000,
        edgeitems=3,
        sign="-",
        floatmode="maxprec",
        legacy=False,
    )
    text = _PREFIX + elements
    if dtype and data.dtype.name not in _UNMARKED:
        text += f", dtype={data.dtype.name}"
    return text + (", requires_grad=True)" if requires_grad else ")")


def html_of_array(data: Array, requires_grad: bool) -> str:
    """An HTML form: a table for small matrices and vectors, text else, with a caption."""
    shape = "×".join(map(str, data.shape)) or "scalar"
    caption = f"{shape} {data.dtype.name}" + (", requires_grad" if requires_grad else "")
    if 1 <= data.ndim <= 2 and 0 < data.size <= 400 and max(data.shape) <= 40:
        body = _table(np.atleast_2d(data))
    else:
        body = f"<pre>{html.escape(format_array(data, requires_grad))}</pre>"
    return f'<div class="nets-tensor"><small>{html.escape(caption)}</small>{body}</div>'


def _table(rows: Array) -> str:
    cells = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(x))}</td>" for x in row) + "</tr>"
        for row in rows.tolist()
    )
    return f"<table>{cells}</table>"


def _cell(x: bool | int | float) -> str:
    return f"{x:.4g}" if isinstance(x, float) else str(x)
