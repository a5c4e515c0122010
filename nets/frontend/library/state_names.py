"""The names that members of a state have in Python: keys as those of ``state_dict``.

What the only module of a library holds is called as in the module's ``state_dict``: ``0.weight``.
All else has the way to its owner before it: ``encoder.0.weight`` and ``decoder.0.weight`` of two
modules, ``optimizer.state.0.exp_avg``, ``default_generator.key``. Tensors that no module, optimiser
or generator saves are called by the way to them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from nets.backend.library.state.layout import StateName
from nets.frontend.tracing.tensor_names import Entry, Ways

Key = tuple[int, bool]
"""The identity of a tensor, and whether its gradient is meant."""


def state_names(members: Sequence[Key], all_ways: Sequence[Ways]) -> list[StateName]:
    """The names of these members: the keys differ."""
    entries = [_entry(tensor, all_ways) for tensor, _ in members]
    owners = _owners(filter(None, entries))
    alone = {entry.owner for entry in entries if entry and entry.is_of_module}
    bare = alone if len(alone) == 1 else set()
    names = _named(members, entries, owners, bare, all_ways)
    if len({name.key for name in names}) < len(names):
        names = _named(members, entries, owners, set(), all_ways)
    return _told_apart(names)


def _entry(tensor: int, all_ways: Sequence[Ways]) -> Entry | None:
    """Where it stands; of modules that different functions reach, in the outermost one."""
    found = [ways.entries[tensor] for ways in all_ways if tensor in ways.entries]
    return max(found, key=lambda entry: entry.name.count("."), default=None)


def _owners(entries: Iterable[Entry]) -> dict[int, str]:
    """The names of the owners, each another one."""
    found: dict[int, str] = {}
    for entry in entries:
        if entry.owner not in found:
            found[entry.owner] = _other_than(found.values(), entry.way)
    return found


def _named(
    members: Sequence[Key],
    entries: Sequence[Entry | None],
    owners: dict[int, str],
    bare: set[int],
    all_ways: Sequence[Ways],
) -> list[StateName]:
    """``bare`` are the owners whose name is left out of keys."""
    names = []
    for number, ((tensor, is_gradient), entry) in enumerate(zip(members, entries, strict=True)):
        end = ".grad" if is_gradient else ""
        if entry is None:
            key = f"{_way(tensor, all_ways) or f'tensor_{number}'}{end}"
            names.append(StateName(key, "", key))
        else:
            owner, name = owners[entry.owner], f"{entry.name}{end}"
            key = name if entry.owner in bare else f"{owner}.{name}"
            names.append(StateName(key, owner, name))
    return names


def _way(tensor: int, all_ways: Sequence[Ways]) -> str | None:
    return next((ways.dotted[tensor] for ways in all_ways if tensor in ways.dotted), None)


def _told_apart(names: Sequence[StateName]) -> list[StateName]:
    """Numbers behind keys that are there already: of tensors by themselves, in two functions."""
    keys: set[str] = set()
    found = []
    for name in names:
        key = _other_than(keys, name.key)
        keys.add(key)
        found.append(StateName(key, name.owner, name.entry if name.owner else key))
    return found


def _other_than(taken: Collection[str], name: str) -> str:
    other, count = name, 1
    while other in taken:
        count += 1
        other = f"{name}_{count}"
    return other
