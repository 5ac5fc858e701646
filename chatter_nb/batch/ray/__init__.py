"""A batch on Ray: an actor has one GPU, or the cores of a machine."""
