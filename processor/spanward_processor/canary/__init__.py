"""Two versions of one model, compared while both serve, and what follows from it."""
