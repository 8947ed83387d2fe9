"""Three made-up worlds to look at the system in: a shop, a social feed, a newsroom. Nothing in them is real."""
