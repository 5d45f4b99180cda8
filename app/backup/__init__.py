"""A data directory as one folder or file elsewhere, and back: database, adapters, development token."""

from app.backup.make import make_backup
from app.backup.restore import restore_backup

__all__ = ["make_backup", "restore_backup"]
