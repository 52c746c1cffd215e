"""What can be recognised: SKUs, their pictures, planograms, the gallery."""
