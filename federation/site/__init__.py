"""What a site does for a run: it hears of it, decides whether it takes part, and works on it."""
