"""From written to spoken words: numbers, dates, abbreviations, capitals, with the place of each."""
