"""Speed side by side: `python -m scripts.bench`."""
