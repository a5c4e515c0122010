"""Maxima of windows, whose loops are written out."""
