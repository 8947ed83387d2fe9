class GenerationError(RuntimeError):
    """A generation cannot be served, compared or dropped as things are. The message says why and what to do."""
