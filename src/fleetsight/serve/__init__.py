"""Serving: a model behind one address, whatever hardware answers; admit, batch, route, and know what it costs."""
