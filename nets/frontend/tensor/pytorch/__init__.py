"""PyTorch's words for tensors: its functions that NumPy has not, and its methods.

Each is a plain function whose first argument is the tensor. Some are public as functions of
``nets`` (``functions/__init__.py`` says which), all are methods (``methods.py``).
"""
