"""What training leaves: bundles and served graphs."""
