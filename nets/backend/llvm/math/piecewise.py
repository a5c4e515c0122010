"""tanh and erf of float32, piece by piece: a polynomial of degree 6 on each of 8 intervals.

The bits of scale · |x| + shift, taken as an integer, grow like its logarithm, and every so many of
them begin another interval: the pieces grow with x, faster for tanh than for erf. In the first one,
which has 0 in it, the function is x + x · P(x), so that the result keeps its relative accuracy. In
the others it is f(c) + (x − c) · P(x − c), where c is a number at which the function is very nearly
a number of the format (as in S. Gal, "Computing elementary functions: a new approach for achieving
high accuracy and good performance", 1986); then the last operation is the only one whose rounding
shows. f(c) is below every x of the interval, so that min(x, f(c)) serves all of them, with 1 in the
place of f(c) in the first.

A table of 8 numbers is a register of AVX2, and looking them up costs more than arithmetic. So the
last two coefficients, which need few digits, share an entry: that of degree 6 is in its lower half,
that of degree 5 is the whole of it.

The polynomials are minimax ones in units in the last place of the function. Their coefficients were
rounded one by one, those that share an entry first, then from the lowest on, each time with the
rest fitted again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nets.backend.llvm.math.body import Body, Lanes
from nets.backend.llvm.math.tables import lookup


@dataclass(frozen=True, slots=True)
class _Pieces:
    scale: float
    shift: float
    ignored: int
    """How many low bits of the distance from shift to scale · |x| + shift do not choose."""
    end: float
    """The function is 1 from here on."""
    centers: tuple[float, ...]
    starts: tuple[float, ...]
    """The function at the centers; 1 for the first interval, where the start is x."""
    coefficients: tuple[tuple[float, ...], ...]
    """Those of (x − center)**i in row i − 1; in the first interval, of f(x) − x."""


_TANH: Final = _Pieces(
    scale=1.666,
    shift=1.09,
    ignored=22,
    end=9.02,
    centers=(
        0.0,
        0.3091951310634613,
        0.7295724153518677,
        1.6006773710250854,
        2.336463451385498,
        3.5547821521759033,
        5.726869106292725,
        7.19212007522583,
    ),
    starts=(
        1.0,
        0.2997047007083893,
        0.6228036880493164,
        0.921770453453064,
        0.9814832806587219,
        0.9983668327331543,
        0.99997878074646,
        0.9999988675117493,
    ),
    coefficients=(
        (
            1.6701566352139707e-08,
            0.9101769924163818,
            0.6121160387992859,
            0.1503385603427887,
            0.03669014200568199,
            0.00326332519762218,
            4.2630246753105894e-05,
            2.266398041683715e-06,
        ),
        (
            -3.8967364162090234e-06,
            -0.272773802280426,
            -0.3812362849712372,
            -0.13857834041118622,
            -0.03601081296801567,
            -0.0032581440173089504,
            -4.244312731316313e-05,
            -2.2665144570055418e-06,
        ),
        (
            -0.33318424224853516,
            -0.22188222408294678,
            0.03332367539405823,
            0.07766696810722351,
            0.02312515676021576,
            0.002171926200389862,
            2.7228694307268597e-05,
            1.4826147207713802e-06,
        ),
        (
            -0.0021100984886288643,
            0.1596478670835495,
            0.10777401179075241,
            -0.02536088228225708,
            -0.010696925222873688,
            -0.0010845399228855968,
            -1.404318209097255e-05,
            -6.647172767770826e-07,
        ),
        (
            0.14720609784126282,
            0.03704584389925003,
            -0.07189275324344635,
            0.0001594856585143134,
            0.0035358769819140434,
            0.00040001168963499367,
            7.11414713805425e-06,
            1.8505230059417954e-07,
        ),
    ),
)

_ERF: Final = _Pieces(
    scale=0.84,
    shift=1.34,
    ignored=21,
    end=3.92,
    centers=(
        0.0,
        0.269655704498291,
        0.5882528424263,
        1.2466400861740112,
        1.8861627578735352,
        2.4933667182922363,
        3.3551461696624756,
        3.6237051486968994,
    ),
    starts=(
        1.0,
        0.29705700278282166,
        0.5945431590080261,
        0.9221020936965942,
        0.9923567771911621,
        0.9995783567428589,
        0.9999979138374329,
        0.9999997019767761,
    ),
    coefficients=(
        (
            0.12837916612625122,
            1.0492421388626099,
            0.7983085513114929,
            0.23851366341114044,
            0.032166238874197006,
            0.002251683035865426,
            1.446140777261462e-05,
            2.2368697045749286e-06,
        ),
        (
            -1.248993271474319e-06,
            -0.2829384505748749,
            -0.4695723354816437,
            -0.29733994603157043,
            -0.0606716088950634,
            -0.005614169407635927,
            -4.900741987512447e-05,
            -8.105004781100433e-06,
        ),
        (
            -0.37606126070022583,
            -0.2988220155239105,
            -0.08249111473560333,
            0.16759838163852692,
            0.06559968739748001,
            0.008577997796237469,
            0.0001109572040149942,
            1.8775477656163275e-05,
        ),
        (
            -0.0010392380645498633,
            0.13413892686367035,
            0.18457907438278198,
            -0.005387111101299524,
            -0.04160631448030472,
            -0.008827879093587399,
            -0.00014669762458652258,
            -3.0479743145406246e-05,
        ),
        (
            0.11998885869979858,
            0.07750951498746872,
            -0.03191822022199631,
            -0.04717700555920601,
            0.011000506579875946,
            0.006308938842266798,
            0.00011049541353713721,
            3.354961518198252e-05,
        ),
    ),
)


def _evaluate(b: Body, pieces: _Pieces, x: Lanes) -> Lanes:
    """The odd function that the pieces are of."""
    a = b.at_most(b.abs(x), pieces.end)
    above = b.bits(b.fma(a, pieces.scale, pieces.shift)) - b.form.bits(pieces.shift)
    place = above >> pieces.ignored
    near = a - lookup(b, pieces.centers, place)
    start = b.at_most(a, lookup(b, pieces.starts, place))
    terms = [lookup(b, row, place) for row in pieces.coefficients]
    terms.append(b.from_bits(b.bits(terms[-1]) << b.form.width // 2))
    return b.with_sign(b.fma(near, b.polynomial(near, terms), start), x)


def tanh(b: Body, x: Lanes) -> Lanes:
    """The hyperbolic tangent of float32."""
    return _evaluate(b, _TANH, x)


def erf(b: Body, x: Lanes) -> Lanes:
    """The error function of float32."""
    return _evaluate(b, _ERF, x)
