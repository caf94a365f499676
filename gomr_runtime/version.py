"""The version of GoMR."""

__version__ = "0.1.0"
