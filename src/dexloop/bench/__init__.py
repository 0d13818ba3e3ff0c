"""The paper's tables and figures, and what ours are beside them: cells that can be run apart and put together."""
