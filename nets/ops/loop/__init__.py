"""The loop dialect, and what builds it and reads it."""
