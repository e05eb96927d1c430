"""`python -m lmcli` is `lmcli`."""

from lmcli.cli import main

main()
