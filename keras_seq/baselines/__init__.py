"""The cheap models a network has to beat."""
