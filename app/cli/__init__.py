"""The command line: `main.py` declares every command, and imports a module of this folder when its command runs."""
