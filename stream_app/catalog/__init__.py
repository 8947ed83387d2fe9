"""The catalogue service: from what producers say of items to knowledge, put where workers and services read."""
