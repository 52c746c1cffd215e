"""The device's side of the wire: signed requests, what the server answers, its time, and a line that fails on demand."""
