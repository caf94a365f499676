"""The flow and its command line; they run from a checkout."""
