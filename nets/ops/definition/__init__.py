"""What an op is: the registry of definitions, and what their rules are written with."""
