"""Calls of traced functions: specialisations, plans, lowered functions."""
