"""The command line's commands, each thin: one call, and what it says. `cli` joins them."""
