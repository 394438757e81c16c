"""Models across sites: who takes part, what a run may do, and what every model was made of."""
