"""Where series come from: one file per source, one registry."""
