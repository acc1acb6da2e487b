"""The compiled kernels: C++ sources, what builds them, and what loads and calls them."""
