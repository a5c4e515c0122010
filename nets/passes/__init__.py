"""Passes over the IR: the manager, the table of passes, and the pipelines."""
