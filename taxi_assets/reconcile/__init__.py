"""Compare the lake and the warehouses by month, and load a warehouse from the lake alone."""
