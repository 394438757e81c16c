"""Where models run: a process of their own that may die, the devices that it uses, and batches across studies."""
