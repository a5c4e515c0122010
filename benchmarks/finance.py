"""Prices of 262,144 options and their five sensitivities, float64 (Black and Scholes, 1973).

The systems that differentiate are given the formula of the price; numba has the closed forms of
the sensitivities, written out by hand.
"""

from __future__ import annotations

import math

import numpy as np

from benchmarks.workload import Bound, Builder, Run, Workload

COUNT = 1 << 18
ROOT_HALF, ROOT_TAU = math.sqrt(0.5), math.sqrt(2 * math.pi)


def market(rng: np.random.Generator):
    """Spot, strike, years, rate and volatility of each option."""
    ranges = ((50, 150), (50, 150), (0.1, 2), (0, 0.1), (0.1, 0.5))
    return tuple(rng.uniform(*ends, COUNT) for ends in ranges)


def price(log, sqrt, exp, erf, spot, strike, years, rate, volatility):
    """Value of a call option; the functions are those of the system."""
    spread = volatility * sqrt(years)
    d1 = (log(spot / strike) + (rate + 0.5 * volatility * volatility) * years) / spread
    d2 = d1 - spread
    in_money, exercised = 0.5 + 0.5 * erf(d1 * ROOT_HALF), 0.5 + 0.5 * erf(d2 * ROOT_HALF)
    return spot * in_money - strike * exp(-rate * years) * exercised


def in_nets(nets):
    def total(*market):
        prices = price(nets.log, nets.sqrt, nets.exp, nets.erf, *market)
        return prices.sum(), prices

    def prices_and_sensitivities(spot, strike, years, rate, volatility):
        transform = nets.grad(total, argnums=(0, 1, 2, 3, 4), has_aux=True)
        gradients, prices = transform(spot, strike, years, rate, volatility)
        return prices, gradients

    return prices_and_sensitivities


def in_jax(jax):
    jnp = jax.numpy

    def total(*market):
        prices = price(jnp.log, jnp.sqrt, jnp.exp, jax.scipy.special.erf, *market)
        return prices.sum(), prices

    def prices_and_sensitivities(*market):
        gradients, prices = jax.grad(total, argnums=(0, 1, 2, 3, 4), has_aux=True)(*market)
        return prices, gradients

    return prices_and_sensitivities


def in_torch(torch, stage, *market) -> Run:
    staged = stage(lambda *market: price(torch.log, torch.sqrt, torch.exp, torch.erf, *market))
    given = tuple(t.requires_grad_() for t in market)
    ones = torch.ones_like(market[0])

    def run():
        prices = staged(*given)
        return prices, torch.autograd.grad(prices, given, ones)

    return run


def in_numba(numba):
    def prices_and_sensitivities(spot, strike, years, rate, volatility):
        prices, delta, dual_delta = np.empty(COUNT), np.empty(COUNT), np.empty(COUNT)
        decay, rho, vega = np.empty(COUNT), np.empty(COUNT), np.empty(COUNT)
        for i in numba.prange(COUNT):
            s, k, t, r, v = spot[i], strike[i], years[i], rate[i], volatility[i]
            root = math.sqrt(t)
            d1 = (math.log(s / k) + (r + 0.5 * v * v) * t) / (v * root)
            d2 = d1 - v * root
            n1 = 0.5 + 0.5 * math.erf(d1 * ROOT_HALF)
            n2 = 0.5 + 0.5 * math.erf(d2 * ROOT_HALF)
            density = math.exp(-0.5 * d1 * d1) / ROOT_TAU
            discount = math.exp(-r * t)
            prices[i] = s * n1 - k * discount * n2
            delta[i], dual_delta[i] = n1, -discount * n2
            decay[i] = s * density * v / (2 * root) + r * k * discount * n2
            rho[i], vega[i] = k * t * discount * n2, s * density * root
        return prices, (delta, dual_delta, decay, rho, vega)

    return prices_and_sensitivities


WORKLOADS = [
    Workload(
        name="black_scholes/262144",
        what="prices of 262,144 options and their five sensitivities, float64",
        arguments=market,
        systems={
            "nets": in_nets,
            "jax": in_jax,
            "torch": Builder(in_torch),
            "numba": in_numba,
        },
        bound=Bound(flops=330.0 * COUNT, reads=40.0 * COUNT, writes=48.0 * COUNT, dtype="float64"),
        tolerance=1e-11,
    )
]
