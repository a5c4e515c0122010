"""Questions that fusion and lowering both ask: what loops a group of operations has, and where
elements lie.
"""
