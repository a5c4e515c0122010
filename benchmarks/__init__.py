"""How fast nets is, beside NumPy, JAX, PyTorch and numba, on this machine.

``make bench`` or ``python -m nets bench`` runs it. The road of a run: ``suite`` reads the options
and asks ``machine`` for the limits of the CPU; for each workload of ``workloads``, ``peers`` starts
one ``worker`` process per system and thread count and ``rounds`` lets them take turns; ``report``
prints the table and writes JSON, ``plot`` draws it. What is measured stands in one file per family
of workloads, written once per system.

Systems that are not installed are left out. NumPy is always there; ``pip install -e ".[bench]"``
adds numba; the large ones are installed by hand: ``pip install jax`` and ``pip install torch``, for
sparse derivatives ``pip install asdex casadi``.
torch.compile ("inductor" in the table) needs a C++ compiler.
"""
