"""Text to chunks: files read, cleaned, cut into sentences, packed; no character is lost."""
