"""The command line: `chatter-nb …`; each command is one call and what it says."""
