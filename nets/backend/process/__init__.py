"""Compiled code in this process: called, and kept in the object cache."""
