"""Freed memory that the allocator keeps, given back to the system."""

import ctypes


def trim() -> None:
    """glibc's `malloc_trim`, which lets other threads run meanwhile; other allocators do it by themselves."""
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if give_back is not None:
        give_back(0)
