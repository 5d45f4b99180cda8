"""The data directory: which server has it, where that server listens, and what is kept free on its disk."""
