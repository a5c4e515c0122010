"""Makes ``tests`` a package that every test can import from, wherever pytest is started."""

import os
import signal

os.environ.setdefault("NETS_TRACEBACK", "full")  # who tests nets wants to see where it fails

# A shell lets what it starts in the background ignore Ctrl-C; tests send it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
