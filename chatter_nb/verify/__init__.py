"""Does the audio say the text? Witnesses that listen, cuts that heal, a verdict for a chunk."""
