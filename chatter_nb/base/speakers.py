"""What parameters and texts both know of speakers."""

from typing import Literal

NARRATOR = ""  # the speaker of all that nobody else says
QUOTES = "quotes"  # … of all quotes, where they are `one`
QuoteMode = Literal["narrator", "one", "attributed"]
