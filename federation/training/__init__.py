"""What is learnt across sites, how, and how privately."""
