"""The exact nodal engine and the error bound of every answer."""
