"""How fast the work is over time: measured, kept, compared with earlier and with other commits.

`bench` sets ours beside upstream's calls; here ours alone is set beside what it was.
"""
