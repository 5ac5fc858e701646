"""The package's version; records, headers and the command line tell it."""

__version__ = "0.1.0"
