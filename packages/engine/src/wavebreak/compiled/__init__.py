"""The Numba runtime: one decorator, its cache of machine code, its warm-up."""
