"""Order and places: sorting along an axis, and combining updates into elements at indices."""
