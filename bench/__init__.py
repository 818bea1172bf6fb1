"""libctm beside other tools: the same tasks on the same data, answers compared in full."""
