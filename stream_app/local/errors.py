"""What goes wrong with a local server, with the end of its log."""


class LocalServerError(RuntimeError):
    """A local server could not be fetched, started or reached. The message says what to do."""
