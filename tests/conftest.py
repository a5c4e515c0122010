"""Makes ``tests`` a package that every test can import from, wherever pytest is started."""

import os

os.environ.setdefault("NETS_TRACEBACK", "full")  # who tests nets wants to see where it fails
