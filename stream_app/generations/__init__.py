"""Generations side by side: what there is of each, how two compare, and the switch from one to another."""
