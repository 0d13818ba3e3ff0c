"""Simulated devices that speak the protocol of the real ones, byte for byte."""
