"""Output for people as HTML, for a notebook, a server and a saved file alike: players, gallery."""
