"""Programs that run inside a job or behind an endpoint, in the container's place; they import nothing of the server."""
