"""Who speaks what in a text: marks that an author has set, quotes, and labels from a file."""
