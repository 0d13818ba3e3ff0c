"""Simulated cameras that the drivers read as they read real ones."""
