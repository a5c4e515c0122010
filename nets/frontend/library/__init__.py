"""Export: from lowered functions and their state to a library."""
