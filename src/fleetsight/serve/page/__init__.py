"""The status page of the inference service: what it shows, and its two faces, HTML and JSON."""
