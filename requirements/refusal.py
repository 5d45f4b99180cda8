"""What ends an installation with one line for the person who started it."""


class Refusal(Exception):
    """Its text says what to change; exit status 2."""
