"""From Python to IR, and from calls to native code."""
