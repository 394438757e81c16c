"""The catalogue: what the node holds, for people as pages and for harvesters as RDF."""
