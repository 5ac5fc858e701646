"""Documents (EPUB, DOCX, HTML, PDF, hard-wrapped text) to chapters of blocks with their places."""
