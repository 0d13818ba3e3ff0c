"""The paper's tables and figures beside ours. They are made of cells, which can be run on different machines."""
