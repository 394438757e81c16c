"""Whether what a site holds is fit for use, by the five dimensions of EUCAIM, and how well it hides people."""
