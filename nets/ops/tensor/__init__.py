"""The tensor dialect: one class per op, one family per file."""
