"""The verbs of dexloop as functions, and the only place where concrete parts are put together."""
