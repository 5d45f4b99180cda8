"""The server process: what makes its parts, listens and ends, and the launcher that starts it and keeps its log."""
