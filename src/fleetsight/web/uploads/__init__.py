"""Video from devices: segments in pieces, resumable, kept only when every byte is what the device said it would be."""
