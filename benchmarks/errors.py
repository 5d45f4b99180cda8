"""The one error of the benchmarks."""


class BenchError(Exception):
    """One line that says what went wrong and where to look."""
