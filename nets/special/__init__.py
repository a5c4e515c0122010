"""Special functions, under SciPy's names and, where they differ, PyTorch's too.

All work on tensors, arrays and numbers, broadcast and promote as the functions of ``nets`` do, take
integers as float64, and have derivatives of every order, out of the family itself. Bounds of their
errors are in docs/numerics.md.
"""

from nets.frontend.tensor import functions as F
from nets.special.bessel import i0, i0e, i1, i1e
from nets.special.entropy import entr, expit, kl_div, log_expit, logit, rel_entr, xlog1py, xlogy
from nets.special.error import erf, erfc, erfcx, erfinv, log_ndtr, ndtr, ndtri
from nets.special.gamma import (
    beta,
    betaln,
    digamma,
    gamma,
    gammaln,
    multigammaln,
    polygamma,
    zeta,
)
from nets.special.incomplete import betainc, gammainc, gammaincc

lgamma, psi = gammaln, digamma

# Those of ``nets`` itself that SciPy and PyTorch have among the special ones.
exp2, expm1, log1p = F.exp2, F.expm1, F.log1p
log_softmax, logsumexp, softmax = F.log_softmax, F.logsumexp, F.softmax
round, sinc = F.round, F.sinc

__all__ = [
    "beta",
    "betainc",
    "betaln",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "gamma",
    "gammainc",
    "gammaincc",
    "gammaln",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "kl_div",
    "lgamma",
    "log1p",
    "log_expit",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "rel_entr",
    "round",
    "sinc",
    "softmax",
    "xlog1py",
    "xlogy",
    "zeta",
]
