"""What the lake and the warehouses hold, compared by month, and how to load a warehouse from the lake alone."""
