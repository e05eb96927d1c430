"""lmcli: language models in the shell, on your own machine."""

__version__ = "0.1.0"
