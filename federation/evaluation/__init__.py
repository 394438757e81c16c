"""How models do across sites, told by protected counts."""
