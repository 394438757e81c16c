"""What a network's outputs mean: one pure function for each kind of output, none of which knows a runtime."""
