"""The notebook environment: a kernel of Jupyter, with its rich outputs, and small tasks of data analysis."""

from .client import JupyterEnv
from .models import Cell, JupyterAction, JupyterObservation, Output

__all__ = ["Cell", "JupyterAction", "JupyterEnv", "JupyterObservation", "Output"]
