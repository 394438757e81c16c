"""Everything of a site that speaks HTTP; an endpoint reads as parse, decide, fetch, render."""
