"""The loop dialect: loops, memory, scalar and vector arithmetic, and kernels over buffers; and what
builds and reads it.

Values are scalars or vectors of lanes (the arithmetic is the same op on both), buffers, and
``index`` counters. A function of the loop dialect takes input buffers, then output buffers, and
returns nothing. Offsets count elements.
"""
