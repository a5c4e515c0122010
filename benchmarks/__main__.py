"""``python -m benchmarks``: the same as ``python -m nets bench``."""

import sys

from nets.tools.command_line import main

sys.exit(main(["bench", *sys.argv[1:]]))
