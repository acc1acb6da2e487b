"""tapeout."""
