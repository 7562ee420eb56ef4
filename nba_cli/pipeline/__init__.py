"""What one run does in its folder."""
