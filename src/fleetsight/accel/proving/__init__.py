"""Whether a compiled model still answers what the float32 model answers, and on which pictures that was seen."""
