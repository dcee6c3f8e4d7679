"""Lineage: artifacts, contexts, actions and what links them, written by hand and by what happens here."""
