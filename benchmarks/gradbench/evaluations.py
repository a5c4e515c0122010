"""All evaluations, in the order of the table."""

from __future__ import annotations

from benchmarks.gradbench import (
    ba,
    det,
    gmm,
    hello,
    ht,
    kmeans,
    llsq,
    lse,
    lstm,
    ode,
    particle,
    saddle,
)

_ALL = (hello, llsq, lse, ode, det, gmm, lstm, kmeans, ba, ht, particle, saddle)

WORKLOADS = [workload for evaluation in _ALL for workload in evaluation.WORKLOADS]
