"""Hunts for crashes, hangs and silent wrong answers with broken specs, hostile files, kills and damaged caches."""
