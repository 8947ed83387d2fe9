"""What a model must beat, and is printed beside: counts, collaborative filtering, networks over whole histories."""
