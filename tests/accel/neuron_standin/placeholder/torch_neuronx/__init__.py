"""What PyPI holds under this name."""

raise ImportError(
    "WRONG PACKAGE. Please install the package from Neuron Repository - https://github.com/aws/aws-neuron-sdk"
)
