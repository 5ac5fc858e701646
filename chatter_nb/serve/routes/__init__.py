"""The routes of the service, by subject. One that is not `async` runs in a thread."""
