"""The parameters of a run: one frozen object for YAML, notebook cell, form, HTTP and record."""
