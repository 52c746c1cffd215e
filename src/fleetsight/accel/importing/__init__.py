"""From a foreign ONNX file to a portable model: read its labels, try it out, keep it under a name."""
