"""Feature selection on training units only."""
