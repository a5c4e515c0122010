"""``python -m nets``: the command line."""

import sys

from nets.tools.command_line import main

sys.exit(main(sys.argv[1:]))
