"""Pages over HTTP. They read Redis only."""
