"""The state of a library: its layout, the functions of it in C, and its way to Python and back."""
