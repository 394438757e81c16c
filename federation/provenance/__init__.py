"""What every model was made of, on record and open to check."""
