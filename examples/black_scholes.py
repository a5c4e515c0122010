"""Option prices and their greeks: first and second derivatives of one formula.

The greeks are not written down anywhere: ``nets.grad`` derives them, once for delta, vega and
theta, twice for gamma. The closed forms of the textbook are the check.
Run with ``python examples/black_scholes.py``.
"""

import numpy as np

import nets


def normal_cdf(x):
    """Probability that a standard normal number is below x."""
    return 0.5 * (1 + nets.erf(x / np.sqrt(2)))


def price(spot, strike, years, rate, volatility):
    """Value of a European call option (Black and Scholes, 1973)."""
    spread = volatility * nets.sqrt(years)
    d1 = (nets.log(spot / strike) + (rate + volatility**2 / 2) * years) / spread
    return spot * normal_cdf(d1) - strike * nets.exp(-rate * years) * normal_cdf(d1 - spread)


def total(*market):
    """The sum over all options: its gradient holds each option's own derivatives."""
    return price(*market).sum()


@nets.trace
def report(*market):
    """Price, delta, gamma, vega, theta of every option: one native call."""
    delta, vega, decay = nets.grad(total, argnums=(0, 4, 2))(*market)
    gamma = nets.grad(lambda *m: nets.grad(total)(*m).sum())(*market)
    return price(*market), delta, gamma, vega, -decay


def main():
    count = 100_001
    spot = np.linspace(50.0, 150.0, count)
    strike, years, rate, volatility = (np.full(count, x) for x in (100.0, 0.5, 0.03, 0.25))
    results = [r.numpy() for r in report(spot, strike, years, rate, volatility)]

    print("   spot    price    delta    gamma     vega    theta")
    for i in range(0, count, count // 5):
        print(f"{spot[i]:7.2f}" + "".join(f"{r[i]:9.4f}" for r in results))

    spread = volatility * np.sqrt(years)
    d1 = (np.log(spot / strike) + (rate + volatility**2 / 2) * years) / spread
    density = np.exp(-(d1**2) / 2) / np.sqrt(2 * np.pi)
    error = max(
        np.abs(results[2] - density / (spot * spread)).max(),
        np.abs(results[3] - spot * density * np.sqrt(years)).max(),
    )
    print(f"gamma and vega of {count} options differ from the closed forms by at most {error:.0e}")


if __name__ == "__main__":
    main()
