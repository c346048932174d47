"""From a raw file to leak-free, batched windows."""
