"""Pictures and tables people look at."""
