"""What ends a demo early."""


class DemoError(RuntimeError):
    """A part of the demo did not come up or ended. The message says which, why, and what to do."""
