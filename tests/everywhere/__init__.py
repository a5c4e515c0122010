"""Programs whose results are the same bits everywhere: see ``tests.everywhere.__main__``."""
