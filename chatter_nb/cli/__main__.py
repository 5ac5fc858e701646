"""`python -m chatter_nb.cli …` is `chatter-nb …`."""

from chatter_nb.cli.app import main

main()
