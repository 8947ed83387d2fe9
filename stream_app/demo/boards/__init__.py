"""What each scenario shows of itself, and counts."""
