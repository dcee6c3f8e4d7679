"""Programs that run in the containers of Model Monitor and Clarify; they import nothing of the server."""
