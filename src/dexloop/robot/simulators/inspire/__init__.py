"""A simulated Inspire RH56 hand, and the wires it can be reached over."""
