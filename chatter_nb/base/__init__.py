"""Basics for all rooms: errors, paths, atomic writes, hashes, a stopwatch, wording."""
