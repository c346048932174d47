"""Search for better configurations."""
