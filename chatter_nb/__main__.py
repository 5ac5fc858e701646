"""`python -m chatter_nb …` is `chatter-nb …`."""

from chatter_nb.cli import main

main()
