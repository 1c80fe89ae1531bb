"""How fast the stages are, side by side with what people use instead; run by `make bench`."""
