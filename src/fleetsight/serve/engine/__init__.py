"""What answers a frame: a portable detector, a callable of the user, or a stand-in whose time is known."""
