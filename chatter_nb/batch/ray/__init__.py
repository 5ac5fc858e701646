"""A batch on Ray: one actor is one GPU, or the cores of a machine."""
