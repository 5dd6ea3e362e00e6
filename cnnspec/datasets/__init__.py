"""Data sets small enough to travel inside the package; see ATTRIBUTION.md beside this file."""
