"""From rendered or labelled samples to a portable model and its report card: the only package that imports torch."""
