"""The faults, one module for each thing that fails. Every module here is found by itself."""
