"""Replay: the code of many programs, held to what it was; see ``tests.replay.__main__``."""
