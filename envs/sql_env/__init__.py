"""The SQL environment: a database that an agent queries and changes, graded by results."""

from .client import SqlEnv
from .models import Column, SqlAction, SqlError, SqlObservation, SqlState, Table

__all__ = ["Column", "SqlAction", "SqlEnv", "SqlError", "SqlObservation", "SqlState", "Table"]
