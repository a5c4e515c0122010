"""Libraries in C: written, described, checked and loaded."""
