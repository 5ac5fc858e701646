"""Finished runs side by side: aligned, measured, drawn; heard without knowing which is which.

One run's own players and plots are in `show` and `plots`.
"""
