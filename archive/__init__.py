"""What a site holds and who may see it: values, PostgreSQL, and the bytes of an instance."""
