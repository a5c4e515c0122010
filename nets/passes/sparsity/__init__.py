"""Which elements of a result depend on which of an argument, and how few seeds tell all."""
