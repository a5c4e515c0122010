"""The data model and its text; it knows no operation by name."""
