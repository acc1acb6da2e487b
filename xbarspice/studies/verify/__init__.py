"""Verification: what can be judged, on which inputs, why answers differ, and where levels hold."""
