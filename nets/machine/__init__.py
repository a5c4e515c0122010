"""What is known of processors: the machine, the table of them, and what things cost on one."""
