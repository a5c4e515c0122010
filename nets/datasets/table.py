"""Tables of numbers in text files."""

from __future__ import annotations

import csv as text_format
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

import nets

Table = npt.NDArray[np.float64]


def read_csv(
    path: str | os.PathLike[str], delimiter: str = ",", header: bool | None = None
) -> tuple[Table, list[str]]:
    """The numbers of a CSV file (rows, columns), float64, and the names of its columns.

    ``header``: whether the first row holds names; by default, if it is not all numbers. An empty
    field is NaN. LoadError where rows differ in length or a field is no number.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            rows = [row for row in text_format.reader(file, delimiter=delimiter) if row]
    except (OSError, UnicodeDecodeError, text_format.Error) as error:
        raise nets.errors.LoadError(f"{path}: {error}", nets.user_location()) from error
    if not rows:
        raise nets.errors.LoadError(f"{path} is empty", nets.user_location())
    if header is None:
        header = any(_number(field) is None for field in rows[0])
    names = (
        [field.strip() for field in rows[0]] if header else [str(i) for i in range(len(rows[0]))]
    )
    first = 2 if header else 1
    return _numbers(path, rows[first - 1 :], len(names), first), names


def _numbers(
    path: str | os.PathLike[str], rows: list[list[str]], columns: int, first: int
) -> Table:
    table = np.empty((len(rows), columns))
    for i, row in enumerate(rows):
        numbers = [_number(field) for field in row]
        if len(row) != columns or None in numbers:
            raise nets.errors.LoadError(
                f"{path}: row {i + first} is not {columns} numbers", nets.user_location()
            )
        table[i] = numbers
    return table


def _number(field: str) -> float | None:
    try:
        return float(field) if field.strip() else float("nan")
    except ValueError:
        return None


def csv(
    path: str | os.PathLike[str],
    target: int | str = -1,
    classes: bool = False,
    delimiter: str = ",",
    header: bool | None = None,
) -> nets.data.TensorDataset:
    """A CSV file as a dataset: all columns but one, float32, and that one, ``target``.

    The target, by number or name, is float32 of shape (1,), or with ``classes`` an int64 label.
    """
    table, names = read_csv(path, delimiter, header)
    column = names.index(target) if isinstance(target, str) and target in names else target
    if isinstance(column, str) or not -len(names) <= column < len(names):
        raise nets.errors.ArgumentError(
            f"{path} has no column {target!r}, only {', '.join(names)}", nets.user_location()
        )
    wanted = table[:, column]
    x = np.delete(table, column, axis=1).astype(np.float32)
    y = wanted.astype(np.int64) if classes else wanted.astype(np.float32)[:, None]
    return nets.data.TensorDataset(x, y)
