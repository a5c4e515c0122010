"""Random programs, and the properties they must have on every path."""
