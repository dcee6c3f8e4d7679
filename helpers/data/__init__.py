"""Seeded generators of the labs' data, one module each."""
