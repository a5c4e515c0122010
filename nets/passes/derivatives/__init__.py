"""Programs that mean something else: derivatives of programs."""
