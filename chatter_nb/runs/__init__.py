"""One run, speech or conversion: settled, planned, made, joined, recorded, resumed."""
