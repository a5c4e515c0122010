"""The formula of the logarithm of the beta function.

Where a number is at least 8, what cancels in log Γ(a) + log Γ(b) − log Γ(a + b) is left out (A. R.
DiDonato and A. H. Morris, "Algorithm 708: significant digit computation of the incomplete beta
function ratios", 1992).
"""

from __future__ import annotations

import math
from typing import Final

from nets.ops.transcendental.calculus import Calculus, Number, at_least
from nets.ops.transcendental.gamma_formulas import gammaln, stirling

FAR: Final = 8.0


def remainders(m: Calculus, a: Number, b: Number) -> Number:
    """What Stirling's formula leaves of the three, for numbers of at least 8."""
    a, b = at_least(m, a, FAR), at_least(m, b, FAR)
    return stirling(a) + stirling(b) - stirling(a + b)


def betaln(m: Calculus, a: Number, b: Number) -> Number:
    small, large = m.select(a < b, a, b), m.select(a < b, b, a)
    total = small + large
    near = gammaln(m, small)
    ratio = m.math("log1p", small / large)
    far = at_least(m, large, FAR)
    bracket = (0.5 - large) * ratio - small * (m.math("log", total) - 1.0)
    mixed = near + (bracket + (stirling(far) - stirling(far + small)))
    plain = near + (gammaln(m, large) - gammaln(m, total))
    sizes = small * m.math("log1p", large / small) + (large - 0.5) * ratio
    both = 0.5 * math.log(2.0 * math.pi) - 0.5 * m.math("log", small) - sizes
    both = both + remainders(m, small, large)
    found = m.select(large < FAR, plain, m.select(small < FAR, mixed, both))
    found = m.select(m.equal(small, 0.0), math.inf, found)
    found = m.select(m.equal(large, math.inf), -math.inf, found)
    return m.select((small >= 0.0) & (large >= 0.0), found, math.nan)
