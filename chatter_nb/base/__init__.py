"""What anything may use: errors, places, whole-file writes, hashes, a stopwatch, wording."""
