"""One file for each change, newest last."""
