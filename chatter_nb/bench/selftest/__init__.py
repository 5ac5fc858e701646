"""The acceptance run for a machine: what holds there, what does not, and what it would take."""
