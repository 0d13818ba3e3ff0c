"""Drivers of real devices: what the maker's wire says, in dexloop's units."""
