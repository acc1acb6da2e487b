"""Ladders: exact solves of linear arrays, line by line, in compiled kernels."""
