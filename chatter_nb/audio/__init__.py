"""Samples to files: read, checked, trimmed, crossfaded, joined as they come, encoded."""
