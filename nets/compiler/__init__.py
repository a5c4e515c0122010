"""Where passes and backend meet: one function on its way to something that can be called."""
