"""Faults by what they strike. Each is a function of the stage, listed by `@fault()`; see `stage.py`."""
