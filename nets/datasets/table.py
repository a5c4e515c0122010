"""Tables of numbers in text files."""

from __future__ import annotations

import csv as text_format
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

import nets

Table = npt.NDArray[np.float64]

_MISSING = ("", "na", "n/a", "null", "?")


def read_csv(
    path: str | os.PathLike[str], delimiter: str = ",", header: bool | None = None
) -> tuple[Table, list[str]]:
    """The numbers of a CSV file (rows, columns), float64, and the names of its columns.

    ``path``: of the file; ``delimiter``: the character between its fields. ``header``: whether the
    first row holds names; by default, if it is not all numbers. A field that is empty or says NA,
    null or ? is NaN. LoadError where rows differ in length or a field is no number.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in text_format.reader(file, delimiter=delimiter) if row]
    except (OSError, UnicodeDecodeError, text_format.Error) as error:
        raise nets.errors.LoadError(f"{path}: {error}", nets.user_location()) from None
    if not rows:
        raise nets.errors.LoadError(f"{path} is empty", nets.user_location())
    if header is None:
        header = any(_number(field) is None for field in rows[0])
    names = (
        [field.strip() for field in rows[0]] if header else [str(i) for i in range(len(rows[0]))]
    )
    first = 2 if header else 1
    return _numbers(path, rows[first - 1 :], names, first), names


def _numbers(
    path: str | os.PathLike[str], rows: list[list[str]], names: list[str], first: int
) -> Table:
    table = np.empty((len(rows), len(names)))
    for i, row in enumerate(rows):
        numbers = [_number(field) for field in row]
        if len(row) != len(names):
            problem = f"has {len(row)} fields, not {len(names)}"
        elif None in numbers:
            column = numbers.index(None)
            problem = f"has {row[column]!r} in column {names[column]}, which is no number"
        else:
            table[i] = numbers
            continue
        raise nets.errors.LoadError(f"{path}: row {i + first} {problem}", nets.user_location())
    return table


def _number(field: str) -> float | None:
    try:
        return float("nan") if field.strip().lower() in _MISSING else float(field)
    except ValueError:
        return None


def csv(
    path: str | os.PathLike[str],
    target: int | str = -1,
    classes: bool = False,
    delimiter: str = ",",
    header: bool | None = None,
) -> nets.data.TensorDataset:
    """A CSV file at ``path`` as a dataset: all columns but one, float32, and that one, ``target``.

    The target, by number or name, is float32 of shape (1,), or with ``classes`` an int64 label.
    ``delimiter`` and ``header`` are those of ``read_csv``. LoadError where a label is no integer.
    """
    table, names = read_csv(path, delimiter, header)
    column = names.index(target) if isinstance(target, str) and target in names else target
    if isinstance(column, str) or not -len(names) <= column < len(names):
        raise nets.errors.ArgumentError(
            f"{path} has no column {target!r}, only {', '.join(names)}", nets.user_location()
        )
    wanted = table[:, column]
    wrong = np.flatnonzero(~np.isfinite(wanted) | (wanted != np.rint(wanted)))
    if classes and wrong.size:
        raise nets.errors.LoadError(
            f"{path}: the label of sample {wrong[0]} is {wanted[wrong[0]]}, not an integer",
            nets.user_location(),
        )
    x = np.delete(table, column, axis=1).astype(np.float32)
    y = wanted.astype(np.int64) if classes else wanted.astype(np.float32)[:, None]
    return nets.data.TensorDataset(x, y)
