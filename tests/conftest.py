"""Makes ``tests`` a package that every test can import from, wherever pytest is started."""

import os
import signal

from hypothesis import HealthCheck, settings

os.environ.setdefault("NETS_TRACEBACK", "full")  # who tests nets wants to see where it fails

# A shell lets what it starts in the background ignore Ctrl-C; tests send it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test depends on chance or on how fast the machine is.
settings.register_profile(
    "nets", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("nets")
