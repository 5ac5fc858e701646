"""The things that make sound. `base` holds what they share; each engine is a module of its own."""
