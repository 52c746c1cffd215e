"""What the nodes of an ONNX graph do, in torch and on plain numbers."""
